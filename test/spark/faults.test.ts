/**
 * Goal: when one of the two falls silent, dies or says nonsense, the other ends what it waits for, once and by a typed error, and
 * goes on with the next connection.
 * Method: real JVMs, stopped and killed by signals; short times of silence; a relay that changes bytes, with a printed seed.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RpcError } from "ringpost";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type TransportClient, TransportContext } from "../../dist/src/network/index.js";
import { printedRandom, type Random } from "../fixtures/random.js";
import { type Asker, ClientAsker } from "../fixtures/spark-asker.js";
import { PeerHandler, pattern } from "../fixtures/spark-peer.js";
import { Jvm } from "./jvm.js";
import { JvmAsker } from "./jvm-asker.js";
import { Relay, randomChange } from "./relay.js";
import { SPARK_LINES } from "./spark-lines.js";

const SILENCE = { conf: { "spark.shuffle.io.connectionTimeout": "2s" } };
const BIG_BYTES = 128 * 1_024 * 1_024;
const LOST = expect.objectContaining({ code: "ERR_RPC_CONNECTION_LOST" });

const folder = mkdtempSync(join(tmpdir(), "ringpost-faults-"));
const big = join(folder, "big");
beforeAll(() => writeFileSync(big, pattern(BIG_BYTES)));
afterAll(() => rmSync(folder, { recursive: true }));

const bigStream = JSON.stringify({ file: big, length: BIG_BYTES });

interface Ours extends AsyncDisposable {
  readonly handler: PeerHandler;
  readonly context: TransportContext;
  connect(port: number): Promise<TransportClient>;
}

function ours(timeoutMs = 2_000, closeIdleConnections = false): Ours {
  const handler = new PeerHandler();
  const settings = { connectionTimeoutMs: timeoutMs, frameTimeoutMs: timeoutMs, writeTimeoutMs: timeoutMs };
  const context = new TransportContext({ rpcHandler: handler, settings, closeIdleConnections });
  const factory = context.createClientFactory();
  return {
    handler,
    context,
    connect: (port) => factory.createClient("127.0.0.1", port),
    [Symbol.asyncDispose]: async () => factory.close(),
  };
}

/** How everything ends that can be asked over a connection; each exactly once. */
function everything(client: TransportClient): { readonly begun: Promise<void>; readonly ends: Promise<unknown[]> } {
  const asker = new ClientAsker(client);
  let begin = () => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const calls: string[] = [];
  const streamed = new Promise((resolve) => {
    client.stream(bigStream, {
      onData: begin,
      onComplete: () => resolve("complete"),
      onFailure: (_id, error) => {
        calls.push("stream");
        resolve(error);
      },
    });
  });
  const chunk = new Promise((resolve) => {
    client.fetchChunk(-1n, 0, {
      onSuccess: (index) => resolve(index),
      onFailure: (_index, error) => {
        calls.push("chunk");
        resolve(error);
      },
    });
  });
  const rpc = asker.rpc("never").catch((error) => error);
  const ends = Promise.all([streamed, chunk, rpc, asker.merged(0).catch((error) => error)]).then((all) => {
    expect(calls).toEqual([...new Set(calls)]);
    return all;
  });
  return { begun, ends };
}

describe.each(SPARK_LINES)("Spark %s", (line) => {
  test("its client gives up our server when it is silent for the connection timeout", async () => {
    await using us = ours(60_000);
    const server = await us.context.createServer();
    const { jvm } = await Jvm.started(line, "TransportClientMain", SILENCE);
    await using _ = jvm;
    const asker = await JvmAsker.connect(jvm, server.port);
    const error = await asker.rpc("never").catch((thrown) => thrown);
    expect(error).toMatchObject({
      className: "java.io.IOException",
      message: expect.stringMatching(/Connection from .* closed/),
    });
    expect(await asker.active()).toBe(false);
    await expect.poll(() => server.connectionCount).toBe(0);
    await server.close();
  });

  test("its synchronous request gives up after its own time, and the connection lives on", async () => {
    await using us = ours(60_000);
    const server = await us.context.createServer();
    const { jvm } = await Jvm.started(line, "TransportClientMain");
    await using _ = jvm;
    const asker = await JvmAsker.connect(jvm, server.port);
    const error = await asker.rpcSync("never", 300).catch((thrown) => thrown);
    expect([error.className, error.cause.className]).toEqual([
      "java.lang.RuntimeException",
      "java.util.concurrent.TimeoutException",
    ]);
    expect(await asker.rpcSync("echo now", 60_000)).toEqual(Buffer.from("now"));
    await jvm.kill();
    await server.close();
  });

  test("our client gives up its server when it is silent, and one that is stopped altogether", async () => {
    await using us = ours();
    const { jvm, port } = await Jvm.started(line, "TransportServerMain");
    await using _ = jvm;
    const first = await us.connect(port);
    expect(await new ClientAsker(first).rpc("never").catch((error) => error)).toEqual(LOST);
    expect(first.isActive).toBe(false);
    const second = await us.connect(port);
    expect(await new ClientAsker(second).rpc("echo again")).toEqual(Buffer.from("again"));
    const { begun, ends } = everything(second);
    await begun;
    jvm.signal("SIGSTOP");
    expect((await ends).slice(0, 1)).toEqual([LOST]);
    expect(second.isActive).toBe(false);
    jvm.signal("SIGCONT");
  });

  test("an idle connection is closed by who is set up to do so, ours or its", async () => {
    await using us = ours(1_000, true);
    await using patient = ours(60_000);
    const server = await us.context.createServer();
    const closesIdle = { conf: { "spark.shuffle.io.connectionTimeout": "1s" }, closeIdle: true };
    const started = await Promise.all([
      Jvm.started(line, "TransportServerMain", closesIdle),
      Jvm.started(line, "TransportClientMain"),
    ]);
    await using theirServer = started[0].jvm;
    await using theirClient = started[1].jvm;
    const client = await patient.connect(started[0].port);
    const asker = await JvmAsker.connect(theirClient, server.port);
    await Promise.all([new ClientAsker(client).rpc("echo"), asker.rpc("echo")]);
    await expect.poll(() => client.isActive, { timeout: 20_000 }).toBe(false);
    await expect.poll(() => asker.active(), { timeout: 20_000 }).toBe(false);
    expect(theirServer.errors).toBe("");
    await server.close();
  });

  test("its server killed in the middle: everything outstanding fails once, and the next connection works", async () => {
    await using us = ours(60_000);
    const first = await Jvm.started(line, "TransportServerMain");
    await using _ = first.jvm;
    const client = await us.connect(first.port);
    const { begun, ends } = everything(client);
    await begun;
    await first.jvm.kill();
    const [streamed, chunk, rpc, merged] = await ends;
    expect(streamed).toEqual(LOST);
    for (const other of [chunk, rpc, merged]) expect(other).toBeInstanceOf(RpcError);
    expect(rpc).toEqual(LOST);
    expect([client.isActive, client.outstandingCount]).toEqual([false, 0]);
    await using next = (await Jvm.started(line, "TransportServerMain", {}, String(first.port))).jvm;
    const again = await us.connect(first.port);
    expect(await new ClientAsker(again).rpc("echo once more")).toEqual(Buffer.from("once more"));
    expect(next.errors).toBe("");
  });

  test("its client killed in the middle leaves nothing at our server", async () => {
    await using us = ours(60_000);
    const server = await us.context.createServer();
    await using jvm = (await Jvm.started(line, "TransportClientMain")).jvm;
    const asker = await JvmAsker.connect(jvm, server.port);
    const spec = { chunks: [{ size: 10 }, { size: 10 }, { file: big, length: BIG_BYTES }] };
    const streamId = String(await asker.rpc(`open ${JSON.stringify(spec)}`));
    await asker.fetch(streamId, [0]);
    expect(us.handler.getStreamManager().streamCount).toBe(1);
    const left = Promise.allSettled([
      asker.stream([bigStream, bigStream, bigStream]),
      asker.upload("collect half", { file: big, length: BIG_BYTES }),
      asker.fetch(streamId, [1, 2]),
    ]);
    await expect.poll(() => us.handler.bytesReceived).toBeGreaterThan(0);
    await jvm.kill();
    await left;
    await expect.poll(() => [server.connectionCount, us.handler.connections]).toEqual([0, 0]);
    expect(us.handler.getStreamManager().streamCount).toBe(0);
    expect(us.handler.takeEvents()).toEqual([{ failedUpload: "half", class: "RpcError" }]);
    await server.close();
  });

  test("whatever happens to the bytes of one side on their way, nobody waits for ever, and the next is served", async () => {
    const random = printedRandom(`bytes changed on their way, Spark ${line}`);
    await using us = ours(1_000);
    const server = await us.context.createServer();
    const started = await Promise.all([
      Jvm.started(line, "TransportServerMain", SILENCE),
      Jvm.started(line, "TransportClientMain", SILENCE),
    ]);
    await using theirServer = started[0].jvm;
    await using theirClient = started[1].jvm;
    const toTheirs = await usedBy(started[0].port, random, async (port) => new ClientAsker(await us.connect(port)));
    const toOurs = await usedBy(server.port, random, (port) => JvmAsker.connect(theirClient, port));
    for (const outcome of toTheirs) if (outcome instanceof Error) expect(outcome).toBeInstanceOf(RpcError);
    // Some have to have gone wrong and some well, or nothing was tried.
    for (const outcomes of [toTheirs, toOurs]) {
      const failures = outcomes.filter((outcome) => outcome instanceof Error).length;
      expect([failures > 0, failures < outcomes.length]).toEqual([true, true]);
    }
    expect(await new ClientAsker(await us.connect(started[0].port)).rpc("echo fine")).toEqual(Buffer.from("fine"));
    expect(await (await JvmAsker.connect(theirClient, server.port)).rpc("echo fine")).toEqual(Buffer.from("fine"));
    await theirServer.kill();
    await theirClient.kill();
    await expect.poll(() => server.connectionCount).toBe(0);
    await server.close();
  });
});

const EXCHANGES = 24;

/** Exchanges one after the other, each with something wrong on its way; resolves to how every request of them ended. */
async function usedBy(port: number, random: Random, connect: (port: number) => Promise<Asker>): Promise<unknown[]> {
  const outcomes: unknown[] = [];
  for (let exchange = 0; exchange < EXCHANGES; exchange++) {
    await using relay = await Relay.to(port, randomChange(random));
    const asker = await connect(relay.port);
    const asked = [
      asker.rpc("echo one"),
      asker.rpc("echo ", 3_000),
      asker.stream([JSON.stringify({ size: 2_000 }), "none"]),
      asker.rpc(`open {"chunks": [{"size": 500}, {"size": 1}]}`).then((id) => asker.fetch(String(id), [0, 1])),
      asker.upload("collect some", { size: 1_000 }),
      asker.merged(0),
      asker.rpc("size 5000"),
    ];
    const settled = await Promise.allSettled(asked);
    outcomes.push(...settled.map((end) => (end.status === "rejected" ? end.reason : end.value)));
    await asker.close();
  }
  return outcomes;
}
