/**
 * Round trips over TCP, client and server in processes of their own: Ringpost with its handler in a worker thread, beside
 * grpc-js, NATS and a bare framed echo. Asserts every answer; compares speeds only in its report.
 */
import { bytes, isSame, type Message, smallObject } from "./messages.js";
import { type BenchOptions, best, type Cell } from "./report.js";
import { atDepth, type Group, rates } from "./rounds.js";
import { startTcpContestants } from "./tcp/contestants.js";

const MESSAGES: Readonly<Record<string, () => Message>> = {
  "small object": smallObject,
  "64 bytes": () => bytes(64),
  "4 KiB": () => bytes(4 * 1024),
  "64 KiB": () => bytes(64 * 1024),
};
const DEPTHS = [1, 64, 1024];
/** More than one connection holds outstanding: 64 MiB. */
const LEFT_OUT = { message: "64 KiB", depth: 1024 };
const FULL = { rounds: 5, timeMs: 300 };
const QUICK = { rounds: 1, timeMs: 1 };
const RIVALS: readonly { readonly group: Group; readonly row: string; readonly atLeast: number }[] = [
  { group: "grpc", row: "beside grpc-js", atLeast: 30 },
  { group: "nats", row: "beside NATS", atLeast: 6 },
  { group: "bare echo", row: "beside a bare framed echo", atLeast: 0.6 },
  { group: "bare codec", row: "beside a bare framed echo that packs and unpacks", atLeast: 0.6 },
];
/** The rows of the design are about small messages. */
const COMPARED = ["small object", "64 bytes"];

export async function askTcp({ quick, report }: BenchOptions): Promise<void> {
  const size = quick ? QUICK : FULL;
  await using contestants = await startTcpContestants(isSame);
  const cells = new Map<string, Cell>();
  for (const [message, make] of Object.entries(MESSAGES)) {
    for (const depth of DEPTHS) {
      if (message === LEFT_OUT.message && depth === LEFT_OUT.depth) continue;
      const sent = make();
      const batches = contestants.all.map(({ name, group, ask }) => {
        const run = ask(sent);
        return { name, group, batch: (operations: number) => atDepth(depth, operations, run) };
      });
      const operationsMin = depth === 1 ? (quick ? 20 : 100) : depth * (quick ? 1 : 4);
      const series = await rates(batches, { ...size, operationsMin });
      const title = `${message}, depth ${depth}`;
      cells.set(title, report.cell({ title, unit: "per s", series }));
    }
  }
  for (const { group, row, atLeast } of RIVALS) {
    const why = contestants.missing.get(group);
    for (const message of COMPARED) {
      const cell = cells.get(`${message}, depth 1024`) as Cell;
      const aim = { row: `ask over TCP, depth 1024, ${row}`, what: message, atLeast };
      if (why !== undefined) report.unmeasured(aim, why);
      else report.ratio(aim, best([cell], ["ringpost"]), best([cell], [group]));
    }
  }
}
