/** The ways to get a message to another process and its answer back, over TCP: each with a server process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import { createInterface } from "node:readline";
import { credentials } from "@grpc/grpc-js";
import { connect as connectNats } from "@nats-io/transport-node";
import { Packr } from "msgpackr";
import { RpcEnv } from "ringpost";
import type { Message } from "../messages.js";
import type { Group } from "../rounds.js";
import { FrameWriter, readFrames } from "./bare-frames.js";
import { EchoClient } from "./grpc-service.js";
import { ServerProcess } from "./server-process.js";

const HOST = "127.0.0.1";
const NATS_SERVER = "nats-server";
const packr = new Packr({ useRecords: false });

/** Asks for the same message again and again: whatever can be done once for it, its contestant does here. */
export type Ask = (message: Message) => () => Promise<boolean>;

export interface TcpContestant {
  readonly name: string;
  readonly group: Group;
  readonly ask: Ask;
}

export interface TcpContestants extends AsyncDisposable {
  readonly all: readonly TcpContestant[];
  /** Who could not be started, and why. */
  readonly missing: ReadonlyMap<Group, string>;
}

type Same = (sent: Message, back: unknown) => boolean;

export async function startTcpContestants(isSame: Same): Promise<TcpContestants> {
  const ends = new Ends();
  const missing = new Map<Group, string>();
  const all: TcpContestant[] = [];
  try {
    for (const threads of [1, 2]) all.push(await startRingpost(ends, isSame, threads));
    all.push(await startGrpc(ends, isSame));
    const nats = await startNats(ends, isSame);
    if (nats === null) missing.set("nats", `there is no ${NATS_SERVER} on this machine`);
    else all.push(nats);
    for (const packs of [true, false]) all.push(await startBare(ends, isSame, packs));
  } catch (error) {
    await ends[Symbol.asyncDispose]();
    throw error;
  }
  return { all, missing, [Symbol.asyncDispose]: () => ends[Symbol.asyncDispose]() };
}

/** What was started last ends first. */
class Ends implements AsyncDisposable {
  readonly #ends: (() => unknown)[] = [];

  use<T extends AsyncDisposable>(started: T): T {
    this.defer(() => started[Symbol.asyncDispose]());
    return started;
  }

  defer(end: () => unknown): void {
    this.#ends.push(end);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.#ends.splice(0).toReversed()) await end();
  }
}

async function startRingpost(ends: Ends, isSame: Same, threads: number): Promise<TcpContestant> {
  const { port } = ends.use(await ServerProcess.start("echo-ringpost", threads));
  const env = ends.use(await RpcEnv.create({ name: "echo client", numThreads: 1 }));
  const ref = await env.setupEndpointRef({ host: HOST, port }, "echo");
  return {
    name: `ringpost, ${threads} ${threads === 1 ? "thread" : "threads"}`,
    group: "ringpost",
    ask: (message) => async () => isSame(message, await ref.ask(message)),
  };
}

async function startGrpc(ends: Ends, isSame: Same): Promise<TcpContestant> {
  const { port } = ends.use(await ServerProcess.start("echo-grpc"));
  const client = new EchoClient(`${HOST}:${port}`, credentials.createInsecure());
  ends.defer(() => client.close());
  const call = (method: string, request: unknown): Promise<unknown> =>
    new Promise((resolve, reject) => {
      client[method]?.(request, (error: Error | null, reply: unknown) => {
        if (error === null) resolve(reply);
        else reject(error);
      });
    });
  return {
    name: "grpc-js",
    group: "grpc",
    ask: (message) =>
      message instanceof Uint8Array
        ? async () => isSame(message, ((await call("body", { bytes: message })) as { bytes: Uint8Array }).bytes)
        : async () => isSame(message, await call("small", message)),
  };
}

/** Null where the machine has no server. */
async function startNats(ends: Ends, isSame: Same): Promise<TcpContestant | null> {
  const port = await startNatsServer(ends);
  if (port === null) return null;
  ends.use(await ServerProcess.start("echo-nats", port));
  const connection = await connectNats({ servers: `${HOST}:${port}` });
  ends.defer(() => connection.close());
  const options = { timeout: 60_000 };
  return {
    name: "NATS request",
    group: "nats",
    ask: (message) =>
      message instanceof Uint8Array
        ? async () => isSame(message, (await connection.request("body", message, options)).data)
        : async () => isSame(message, (await connection.request("small", JSON.stringify(message), options)).json()),
  };
}

async function startNatsServer(ends: Ends): Promise<number | null> {
  const server = spawn(NATS_SERVER, ["-a", HOST, "-p", "-1"], { stdio: ["ignore", "ignore", "pipe"] });
  try {
    await once(server, "spawn");
  } catch {
    return null;
  }
  ends.defer(() => endProcess(server));
  // It says where it listens in its log, and goes on writing to it.
  for await (const line of createInterface(server.stderr)) {
    const port = /Listening for client connections on .*:(\d+)/.exec(line)?.[1];
    if (port === undefined) continue;
    server.stderr.resume();
    return Number(port);
  }
  throw new Error(`${NATS_SERVER} ended before it listened`);
}

async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = once(child, "exit");
  child.kill();
  await ended;
}

/** @param packs objects are packed and unpacked on both sides, as an RPC does; else what goes is bytes to everybody. */
async function startBare(ends: Ends, isSame: Same, packs: boolean): Promise<TcpContestant> {
  const { port } = ends.use(await ServerProcess.start("echo-bare", packs ? "packs" : ""));
  const socket = connectSocket({ host: HOST, port, noDelay: true });
  await once(socket, "connect");
  ends.defer(() => {
    socket.destroy();
  });
  const writer = new FrameWriter(socket);
  let waiting: ((right: boolean) => void)[] = [];
  let next = 0;
  let expected: Message = new Uint8Array(0);
  readFrames(socket, (bytes, start, end) => {
    const back = bytes.subarray(start, end);
    waiting[next++]?.(isSame(expected, expected instanceof Uint8Array ? back : packr.unpack(back)));
    if (next < waiting.length) return;
    waiting = [];
    next = 0;
  });
  const ask = (message: Message, bytes: () => Uint8Array) => (): Promise<boolean> => {
    expected = message;
    const body = bytes();
    writer.write(body, 0, body.length);
    return new Promise((resolve) => waiting.push(resolve));
  };
  return {
    name: packs ? "bare echo, msgpackr" : "bare framed echo",
    group: packs ? "bare codec" : "bare echo",
    ask: (message) => {
      if (packs && !(message instanceof Uint8Array)) return ask(message, () => packr.pack(message));
      const bytes = message instanceof Uint8Array ? message : Buffer.from(JSON.stringify(message));
      return ask(bytes, () => bytes);
    },
  };
}
