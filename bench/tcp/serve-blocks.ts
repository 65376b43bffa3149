/**
 * Bytes to fetch, from memory and from a file: by chunk and by stream over the transport of Ringpost, and over a bare
 * socket. An environment with an endpoint `echo` lives in the same process. Arguments: how many bytes there are, the file.
 */
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { finished } from "node:stream/promises";
import { RpcEnv } from "ringpost";
import { TransportConf, TransportContext } from "ringpost/network";
import { readWish, WISH_BYTES } from "./bare-fetch.js";
import { BlockHandler } from "./block-handler.js";
import { serveParent } from "./server-process.js";

const PIECE_BYTES = 1024 * 1024;
const [bytesMax = "0", path = ""] = process.argv.slice(2);
const memory = Buffer.alloc(Number(bytesMax), 7);

/** Writes what wishes name, one after the other. */
async function serveBare(socket: Socket): Promise<void> {
  let kept: Buffer = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    kept = Buffer.concat([kept, chunk]);
    while (kept.length >= WISH_BYTES) {
      const { byteCount, fromFile } = readWish(kept);
      kept = kept.subarray(WISH_BYTES);
      if (fromFile) await sendFile(socket, byteCount);
      else await sendMemory(socket, byteCount);
    }
  }
}

async function sendMemory(socket: Socket, byteCount: number): Promise<void> {
  for (let at = 0; at < byteCount; at += PIECE_BYTES) {
    const isTaken = socket.write(memory.subarray(at, Math.min(byteCount, at + PIECE_BYTES)));
    if (!isTaken) await once(socket, "drain");
  }
}

async function sendFile(socket: Socket, byteCount: number): Promise<void> {
  const file = createReadStream(path, { end: byteCount - 1, highWaterMark: PIECE_BYTES });
  file.pipe(socket, { end: false });
  await finished(file);
}

const settings = new TransportConf("shuffle");
const context = new TransportContext({ rpcHandler: new BlockHandler(memory, path), settings });
const blocks = await context.createServer();
const bare = createServer({ noDelay: true }, (socket) => {
  // A client that ends may reset its connection.
  socket.on("error", () => socket.destroy());
  serveBare(socket).catch(() => socket.destroy());
});
bare.listen(0, "127.0.0.1");
await once(bare, "listening");
const env = await RpcEnv.create({ name: "echo server", port: 0, numThreads: 1 });
await env.setupEndpoint("echo", new URL("../workers/tasks.endpoint.js", import.meta.url), { args: { task: "echo" } });

const barePort = (bare.address() as AddressInfo).port;
const ports = [blocks.port, barePort, env.address?.port ?? 0];
serveParent(ports, async () => {
  bare.close();
  await Promise.all([blocks.close(), env.shutdown()]);
});
