/** The process that is fuzzed: an environment that listens and serves. What it hears of goes nowhere. */
import { RpcEnv } from "ringpost";

const quiet = (): void => {};
const env = await RpcEnv.create({
  port: 0,
  numThreads: 2,
  logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
});
const module = new URL("./fuzz-service.js", import.meta.url);
await env.setupEndpoint("service", module);
process.stdout.write(`${JSON.stringify({ port: env.address.port })}\n`);
process.stdin.on("end", () => void env.shutdown({ timeoutMs: 1_000 })).resume();
