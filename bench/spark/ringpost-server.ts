/**
 * What RaceServerMain.java is, with Ringpost: an environment with the endpoints `echo` and `sink`, and a server with chunks from
 * memory. Argument: how many bytes of memory there are.
 */
import { RpcEnv } from "ringpost";
import { TransportConf, TransportContext } from "ringpost/network";
import { BlockHandler } from "../tcp/block-handler.js";
import { cpuSeconds, runCommands, say } from "./lines.js";

const env = await RpcEnv.create({ name: "race server", port: 0 });
await env.setupEndpoint("echo", new URL("../workers/tasks.endpoint.js", import.meta.url), { args: { task: "echo" } });
await env.setupEndpoint("sink", new URL("../workers/sink.endpoint.js", import.meta.url));
const rpcHandler = new BlockHandler(Buffer.alloc(Number(process.argv[2]), 7), "");
const blocks = await new TransportContext({ rpcHandler, settings: new TransportConf("shuffle") }).createServer();
say({ listening: env.address?.port, blocks: blocks.port });
await runCommands(cpuSeconds);
await Promise.all([blocks.close(), env.shutdown()]);
