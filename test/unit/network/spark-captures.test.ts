/**
 * Goal: what Spark's own classes have said to us, and to each other, is still understood and still answered as they know it.
 * Method: exchanges that `npm run test:spark` has recorded, replayed without a JVM: into our decoder and back out of our encoder,
 * Spark's requests to our server, Spark's answers to our client.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import {
  encodeMessage,
  type Message,
  MessageType,
  NioManagedBuffer,
  TransportContext,
} from "../../../dist/src/network/index.js";
import { ClientAsker } from "../../fixtures/spark-asker.js";
import {
  type Capture,
  captureNames,
  type Heard,
  Listener,
  type Piece,
  readCaptures,
} from "../../fixtures/spark-captures.js";
import { PeerHandler } from "../../fixtures/spark-peer.js";
import { SCENARIOS } from "../../fixtures/spark-scenarios.js";

const CAPTURES = captureNames().map((name) => [name, readCaptures(name)] as const);

test("there is a capture of every scenario, for both lines of Spark and every pair that it is one of", () => {
  expect(CAPTURES.map(([name]) => name).sort()).toEqual(
    ["3.5", "4.0"].flatMap((line) =>
      ["client-ours-server-spark", "client-spark-server-ours", "client-spark-server-spark"].map(
        (pair) => `spark-${line}-${pair}`,
      ),
    ),
  );
  for (const [, captures] of CAPTURES) {
    expect(captures.map(({ scenario }) => scenario)).toEqual(Object.keys(SCENARIOS));
    for (const { pieces } of captures) expect(new Set(pieces.map(({ from }) => from)).size).toBe(2);
  }
});

describe.each(CAPTURES)("%s", (name, captures) => {
  test("every message is read, and written again it is the same bytes", async () => {
    for (const { pieces } of captures) {
      for (const from of ["client", "server"] as const) {
        const again: Uint8Array[] = [];
        for (const heard of Listener.all(pieces, from)) again.push(await encoded(heard));
        expect(Buffer.concat(again).toString("hex")).toBe(bytesOf(pieces, from).toString("hex"));
      }
    }
  });

  if (name.includes("client-spark")) {
    test.each(captures.map((capture) => [capture.scenario, capture] as const))(
      "our server answers Spark's client as then: %s",
      async (_scenario, capture) => {
        const answers = await answersTo(capture);
        expect(answers.map(withoutText)).toEqual(Listener.all(capture.pieces, "server").map(withoutText));
        // Spark's text is the beginning of ours, the name of the class apart: Spark's goes on with a stack trace.
        const theirs = Listener.all(capture.pieces, "server").map(textIn);
        for (const [index, text] of answers.map(textIn).entries()) expect(text).toContain(theirs[index]);
      },
    );
  }

  if (name.includes("client-ours")) {
    test.each(captures.map((capture) => [capture.scenario, capture] as const))(
      "our client asks Spark's server as then, and is told the same: %s",
      async (_scenario, capture) => {
        expect(JSON.parse(JSON.stringify(await toldFrom(capture)))).toEqual(JSON.parse(capture.result));
      },
    );
  }
});

/** Sends what the client sent, each piece when as many answers have come as then, and gives the answers. */
async function answersTo({ pieces }: Capture): Promise<Heard[]> {
  const context = new TransportContext({ rpcHandler: new PeerHandler(firstStreamId(pieces)) });
  const server = await context.createServer();
  const socket = connect({ host: "127.0.0.1", port: server.port, noDelay: true });
  await once(socket, "connect");
  const listener = new Listener();
  const expected = new Listener();
  socket.on("data", (bytes: Buffer) => listener.push(bytes));
  for (const { from, bytes } of pieces) {
    if (from === "client") {
      socket.write(bytes);
      continue;
    }
    expected.push(bytes);
    while (listener.heard.length < expected.heard.length) await once(socket, "data");
  }
  socket.destroy();
  await server.close();
  return listener.heard;
}

/** Runs the scenario with a server that compares what it is sent with what was sent then, and answers as then. */
async function toldFrom({ scenario, pieces }: Capture): Promise<unknown> {
  const server = createServer({ noDelay: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "connection").then(([socket]) => replay(socket as Socket, pieces));
  const factory = new TransportContext({ rpcHandler: new PeerHandler() }).createClientFactory();
  const client = await factory.createClient("127.0.0.1", (server.address() as AddressInfo).port);
  const [result] = await Promise.all([SCENARIOS[scenario]?.(new ClientAsker(client)), accepted]);
  factory.close();
  server.close();
  return result;
}

async function replay(socket: Socket, pieces: readonly Piece[]): Promise<void> {
  let received = Buffer.alloc(0);
  socket.on("data", (bytes: Buffer) => {
    received = Buffer.concat([received, bytes]);
  });
  let expected = Buffer.alloc(0);
  for (const { from, bytes } of pieces) {
    if (from === "server") {
      socket.write(bytes);
      continue;
    }
    expected = Buffer.concat([expected, bytes]);
    while (received.length < expected.length) await once(socket, "data");
    expect(received.toString("hex")).toBe(expected.toString("hex"));
  }
}

/** Where the ids of the server's streams began: it told its first one. */
function firstStreamId(pieces: readonly Piece[]): number | undefined {
  const [first] = Listener.all(pieces, "server");
  if (first?.message.type !== MessageType.RPC_RESPONSE) return undefined;
  const text = Buffer.from(first.message.body.bytes() as Uint8Array).toString();
  return /^\d{7,}$/.test(text) ? Number(text) : undefined;
}

async function encoded({ message, body }: Heard): Promise<Buffer> {
  const whole = "byteCount" in message ? { ...message, body: new NioManagedBuffer(body) } : message;
  const pieces: Uint8Array[] = [];
  const source = await encodeMessage(whole as Message);
  for (let piece = await source.next(); piece !== null; piece = await source.next()) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

function bytesOf(pieces: readonly Piece[], from: Piece["from"]): Buffer {
  return Buffer.concat(pieces.filter((piece) => piece.from === from).map(({ bytes }) => bytes));
}

/** A message with what is in it; a failure without its text. */
function withoutText({ message, body }: Heard): unknown {
  const { body: inFrame, ...fields } = { body: null, ...message } as Message & {
    body: { bytes?(): Uint8Array } | null;
  };
  const held = "byteCount" in message ? body : inFrame?.bytes?.();
  return {
    ...fields,
    ...("errorText" in message ? { errorText: "" } : {}),
    bytes: held === undefined ? "" : Buffer.from(held as Uint8Array).toString("hex"),
  };
}

/** The first line of a failure's text, behind the name of Java's class. */
function textIn({ message }: Heard): string {
  if (!("errorText" in message)) return "";
  return (message.errorText.split("\n", 1)[0] as string).replace(/^[\w.]+: /, "");
}
