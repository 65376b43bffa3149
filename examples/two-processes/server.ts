/** Hosts the service until it is told to stop, and prints its uri. */
import { RpcEnv } from "ringpost";

// Port 0: any that is free. Only this machine can reach it; any other host needs `secret` or `tls`.
const env = await RpcEnv.create({ name: "primes server", port: 0 });
const primes = await env.setupEndpoint<typeof import("./primes.service.js")>(
  "primes",
  new URL("./primes.service.js", import.meta.url),
);
console.log(primes.uri);

// What has come in is handled and answered; then the threads end, and with them the process.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => env.shutdown());
