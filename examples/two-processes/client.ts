/** Counts the primes up to a million with the threads of another process: node client.js <uri> */
import { isRpcError, RpcEnv } from "ringpost";

const uri = process.argv[2] ?? "";
// No host and no port: it does not listen, the server answers on the connection that it makes.
await using env = await RpcEnv.create({ name: "primes client" });
try {
  // The type comes from the module, which is not loaded here.
  const primes = await env.setupEndpointRefByURI<typeof import("./primes.service.js")>(uri);
  const starts = Array.from({ length: 100 }, (_, n) => n * 10_000);
  const counts = await Promise.all(starts.map((start) => primes.call.count(start + 1, start + 10_000)));
  console.log(
    counts.reduce((total, count) => total + count, 0),
    "primes",
  );
} catch (error) {
  if (!isRpcError(error)) throw error;
  console.error(error.code, error.message);
  process.exitCode = 1;
}
