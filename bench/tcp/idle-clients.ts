/**
 * Clients that are connected and nearly silent: each asks the endpoint `echo` about once a second. Raw sockets, so that a
 * thousand of them cost their process little, and from many addresses, since an environment takes 64 connections from one.
 * Arguments: port, how many.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { encodeMessage, MessageType, type MessageWithHeader, NioManagedBuffer } from "ringpost/network";
import { serveParent } from "./server-process.js";

const [port = 0, count = 0] = process.argv.slice(2).map(Number);
const CONNECTIONS_PER_ADDRESS = 60;
const TICK_MS = 10;
const ASKS_PER_TICK = Math.max(1, Math.round((count * TICK_MS) / 1_000));

/** An ask of `echo` for 8 bytes, as docs/protocol.md has it. */
const NO_ADDRESS = [0];
const NAME = [0, 4, ...Buffer.from("echo")];
const [VERSION, NO_FLAGS, ASK, BYTES] = [1, 0, 2, 2];
const NO_DEADLINE = [255, 255, 255, 255];
const envelope = Uint8Array.of(...NO_ADDRESS, ...NO_ADDRESS, ...NAME, VERSION, NO_FLAGS, ASK, BYTES, ...NO_DEADLINE);
const request = frame(Buffer.concat([envelope, Buffer.from("are you?")]));
const ANSWER_ENDS_WITH = Buffer.from("are you?");

function frame(body: Uint8Array): Buffer {
  const { header } = encodeMessage({
    type: MessageType.RPC_REQUEST,
    requestId: 1n,
    body: new NioManagedBuffer(body),
  }) as MessageWithHeader;
  return Buffer.concat([header, body]);
}

async function open(index: number): Promise<Socket> {
  // All of 127.0.0.0/8 is this machine.
  const localAddress = `127.0.0.${2 + Math.floor(index / CONNECTIONS_PER_ADDRESS)}`;
  const socket = connect({ host: "127.0.0.1", port, localAddress, noDelay: true });
  await once(socket, "connect");
  socket.on("close", () => process.exit(3));
  return socket;
}

async function ask(socket: Socket): Promise<void> {
  socket.write(request);
  const [answer] = (await once(socket, "data")) as [Buffer];
  if (!answer.subarray(-ANSWER_ENDS_WITH.length).equals(ANSWER_ENDS_WITH)) process.exit(4);
}

const sockets = await Promise.all(Array.from({ length: count }, (_, index) => open(index)));
for (const socket of sockets) await ask(socket);
let next = 0;
let asks: Promise<void>[] = [];
const timer = setInterval(() => {
  asks = Array.from({ length: ASKS_PER_TICK }, () => ask(sockets[next++ % count] as Socket));
}, TICK_MS);
serveParent(port, async () => {
  clearInterval(timer);
  await Promise.all(asks);
  for (const socket of sockets) socket.removeAllListeners("close").destroy();
});
