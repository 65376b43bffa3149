/** Ringpost: an endpoint in a worker thread, behind an environment that listens. Argument: how many threads. */
import { RpcEnv } from "ringpost";
import { serveParent } from "./server-process.js";

const env = await RpcEnv.create({ name: "echo server", port: 0, numThreads: Number(process.argv[2]) });
await env.setupEndpoint("echo", new URL("../workers/tasks.endpoint.js", import.meta.url), { args: { task: "echo" } });
serveParent(env.address?.port ?? 0, () => env.shutdown());
