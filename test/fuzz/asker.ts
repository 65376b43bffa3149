/**
 * The process whose asks are answered by the fuzzer: on its main thread and on a message loop. Each must settle, with a value or
 * an error of ours that is one; how they ended goes to stdout in the end.
 */
import { isRpcError, RpcEnv } from "ringpost";
import type service from "./asking-service.js";

const LATE_MS = 15_000;
const BATCH = 32;

const quiet = (): void => {};
const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet };
const env = await RpcEnv.create({ numThreads: 1, logger });
const problems: string[] = [];
const ends = new Map<string, number>();
env.on("loopCrashed", ({ error }) => problems.push(`a message loop died: ${String(error)}`));
const asker = await env.setupEndpoint<typeof service>("asker", new URL("./asking-service.js", import.meta.url));
const ref = await env.setupEndpointRef({ host: "127.0.0.1", port: Number(process.argv[2]) }, "e");
let stopping = false;
process.stdin
  .on("end", () => {
    stopping = true;
  })
  .resume();

function ended(what: string): void {
  ends.set(what, (ends.get(what) ?? 0) + 1);
}

function failed(error: unknown): void {
  if (!isRpcError(error)) {
    problems.push("an ask failed with something else");
    return;
  }
  const { code, message, retryable, maybeExecuted, remote, cause } = error;
  const texts: unknown[] = [message, ...(remote === undefined ? [] : [remote.name, remote.message])];
  if (texts.some((text) => typeof text !== "string")) problems.push("an error whose texts are none");
  if (typeof retryable !== "boolean" || typeof maybeExecuted !== "boolean") problems.push("an error without its flags");
  // What the handler's ask failed of is the cause of its own failure.
  ended(code === "ERR_RPC_HANDLER" && isRpcError(cause) && cause.endpoint === "e" ? cause.code : code);
}

async function settles(ask: Promise<unknown>): Promise<void> {
  const end = ask.then(() => ended("value"), failed);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(() => resolve("late"), LATE_MS);
  });
  if ((await Promise.race([end, late])) === "late") problems.push(`an ask has not settled after ${LATE_MS} ms`);
  clearTimeout(timer);
}

while (!stopping && problems.length === 0) {
  const asks = Array.from({ length: BATCH }, () => [ref.with({ timeoutMs: 5_000 }).ask("?"), asker.call.ask(ref)]);
  await Promise.all(asks.flat().map(settles));
}
process.stdout.write(`${JSON.stringify({ ends: Object.fromEntries(ends), problems })}\n`);
await env.shutdown({ timeoutMs: 1_000 });
