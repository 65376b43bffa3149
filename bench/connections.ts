/**
 * A thousand client connections, mostly idle: does a server that is asked by ten of them notice the others? And what does
 * each cost it in memory?
 *
 * Memory is measured once, not in rounds: pages that were touched stay touched.
 */
import { RpcEnv } from "ringpost";
import { isSame, smallObject } from "./messages.js";
import { type BenchOptions, best } from "./report.js";
import { alternate, atDepth, type Variant } from "./rounds.js";
import { ServerProcess } from "./tcp/server-process.js";

const BUSY = 10;
const ASKS_EACH = 100;
const KIB = 1_024;
const FULL = { all: 1_000, rounds: 7, asks: 400_000 };
const QUICK = { all: 100, rounds: 1, asks: 2_000 };

type Ref = Awaited<ReturnType<RpcEnv["setupEndpointRef"]>>;

export async function connections({ quick, report }: BenchOptions): Promise<void> {
  const { all, rounds, asks } = quick ? QUICK : FULL;
  await using server = await ServerProcess.start("echo-ringpost", 1);
  await using clients = await busyClients(server.port);
  const rate = (): Promise<number> => asksPerSecond(clients.refs, asks);
  for (let warm = 0; warm < (quick ? 1 : 3); warm++) await rate();
  const few = await server.rss();
  {
    await using _idle = await ServerProcess.start("idle-clients", server.port, all - BUSY);
    const bytesEach = ((await server.rss()) - few) / (all - BUSY);
    report.note(`${all} connections: ${(bytesEach / KIB).toFixed(1)} KiB RSS of the server for each idle one`);
  }
  const withIdle = async (): Promise<number> => {
    await using _idle = await ServerProcess.start("idle-clients", server.port, all - BUSY);
    return rate();
  };
  const variants: Variant[] = [
    { name: `${all} connections`, group: "ringpost", measure: withIdle },
    { name: `${BUSY} connections`, group: "ceiling", measure: rate },
  ];
  const title = `${BUSY} connections that ask, the others about once a second`;
  const cell = report.cell({ title, unit: "per s", series: await alternate(variants, rounds) });
  report.ratio(
    { row: "1,000 client connections, mostly idle, beside 10", what: "asks per second", atLeast: 0.83 },
    best([cell], ["ringpost"]),
    best([cell], ["ceiling"]),
  );
}

/** Environments of this process, each with a connection of its own. */
async function busyClients(port: number): Promise<{ refs: readonly Ref[] } & AsyncDisposable> {
  const envs: RpcEnv[] = [];
  const refs: Ref[] = [];
  for (let index = 0; index < BUSY; index++) {
    const env = await RpcEnv.create({ name: `client ${index}`, numThreads: 1 });
    envs.push(env);
    refs.push(await env.setupEndpointRef({ host: "127.0.0.1", port }, "echo"));
  }
  return {
    refs,
    async [Symbol.asyncDispose]() {
      await Promise.all(envs.map((env) => env.shutdown()));
    },
  };
}

async function asksPerSecond(refs: readonly Ref[], asks: number): Promise<number> {
  const message = smallObject();
  const begunAt = performance.now();
  const right = await atDepth(refs.length * ASKS_EACH, asks, async (index) => {
    const ref = refs[index % refs.length] as Ref;
    return isSame(message, await ref.ask(message));
  });
  if (right !== asks) throw new Error(`${right} of ${asks} answers were right`);
  return (asks * 1_000) / (performance.now() - begunAt);
}
