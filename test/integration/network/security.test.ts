/**
 * Goal: a connection becomes ready only between two that trust each other, and when they do not, both sides are told
 * which of them lacks what.
 * Method: real sockets, each way of not fitting together once.
 */
import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { afterEach, describe, expect, test } from "vitest";
import { monotonicMs, systemClock } from "../../../dist/src/common/clock.js";
import { isRpcError, type RpcError } from "../../../dist/src/common/errors.js";
import { createSecurity, type SecurityOptions } from "../../../dist/src/network/create-security.js";
import { SocketReads } from "../../../dist/src/network/socket-reads.js";
import type { ReadyConnection } from "../../../dist/src/network/transport-security.js";
import { authority, type Leaf, leaf } from "../../fixtures/certificates.js";
import { Listening } from "../../fixtures/listening.js";

const clock = systemClock(monotonicMs());
const HOST = "127.0.0.1";
const OLD = "the old secret, long enough to be one";
const NEW = randomBytes(32);
const FRAME = Buffer.from("00000000000000190300000000000030390000000470696e67", "hex");

const ours = authority("ours");
const theirs = authority("theirs");
const names = ["URI:spiffe://app/node", "DNS:localhost", "IP:127.0.0.1"];
const server = leaf(ours, "server", { names });
const worker = leaf(ours, "worker", { names: ["DNS:worker.example"] });
const expired = leaf(ours, "expired", { names, from: -20, until: -10 });
const foreign = leaf(theirs, "foreign", { names });

const tls = ({ key, cert }: Leaf, ca = ours.cert): SecurityOptions => ({ tls: { key, cert, ca } });

let open: { close(): Promise<void> | void }[] = [];
afterEach(async () => {
  for (const each of open.reverse()) await each.close();
  open = [];
});

async function listen(options: SecurityOptions): Promise<Listening> {
  const listening = await Listening.start(createSecurity(options, clock));
  open.push(listening);
  return listening;
}

async function dial(options: SecurityOptions, port: number, timeoutMs = 30_000): Promise<ReadyConnection> {
  const connection = await createSecurity(options, clock).connect({ host: HOST, port, timeoutMs });
  open.push({ close: () => void connection.socket.destroy() });
  return connection;
}

async function failure(attempt: Promise<unknown>): Promise<RpcError> {
  const error = await attempt.then(
    () => new Error("it did not fail"),
    (reason: unknown) => reason,
  );
  if (!isRpcError(error, "ERR_RPC_AUTH")) throw error;
  return error;
}

/** Bytes that a socket brings, up to so many. */
async function bytesOf(socket: Socket, count: number): Promise<string> {
  let text = "";
  for await (const chunk of socket) {
    text += String(chunk);
    if (text.length >= count) break;
  }
  return text;
}

const FITTING: [
  what: string,
  server: SecurityOptions,
  client: SecurityOptions,
  atServer: unknown,
  atClient: unknown,
][] = [
  ["no security at all", {}, {}, null, null],
  ["the same secret", { secret: OLD }, { secret: OLD, appId: "app-1" }, /^app-1:[0-9a-f]{12}$/, /^app-1:[0-9a-f]{12}$/],
  ["certificates", tls(server), tls(worker), "worker.example", "spiffe://app/node"],
];

describe.each(FITTING)("with %s", (_, atServer, atClient, serverSees, clientSees) => {
  test("both sides are ready, know each other, and bytes travel both ways", async () => {
    const listening = await listen(atServer);
    const client = await dial(atClient, listening.port);
    const accepted = await listening.ready();
    for (const [{ identity }, expected] of [
      [accepted, serverSees],
      [client, clientSees],
    ] as const) {
      if (expected instanceof RegExp) expect(identity).toMatch(expected);
      else expect(identity).toBe(expected);
    }
    client.socket.write("from the client");
    expect(await bytesOf(accepted.socket, 15)).toBe("from the client");
  });

  test("nobody is ready before he is admitted, and who is not is told why to the owner", async () => {
    const listening = await Listening.start(createSecurity(atServer, clock), () => "too many already");
    open.push(listening);
    await dial(atClient, listening.port).catch(() => {});
    expect(await listening.refused()).toMatchObject({ code: "ERR_RPC_CONNECT", message: "too many already" });
    expect(listening.accepted).toEqual([]);
  });
});

test("a secret alone reads nothing that was recorded: each connection has a key exchange of its own", async () => {
  const listening = await listen({ secret: OLD });
  const { socket } = await dial({ secret: OLD }, listening.port);
  expect((socket as TLSSocket).getEphemeralKeyInfo()).toMatchObject({ type: "ECDH" });
  expect((socket as TLSSocket).getProtocol()).toBe("TLSv1.3");
});

describe("with two secrets", () => {
  test("a server takes both, so that peers can change from one to the other", async () => {
    const listening = await listen({ secret: [NEW, OLD] });
    const identities: (string | null)[] = [];
    for (const secret of [OLD, NEW]) {
      await dial({ secret }, listening.port);
      identities.push((await listening.ready()).identity);
    }
    expect(new Set(identities).size).toBe(2);
  });

  test("a client dials with the first", async () => {
    const listening = await listen({ secret: OLD });
    await dial({ secret: [OLD, NEW] }, listening.port);
    expect((await listening.ready()).identity).toMatch(/^ringpost:/);
    await failure(dial({ secret: [NEW, OLD] }, listening.port));
  });

  test("a server can have one for each application: knowing one's own opens no other's door", async () => {
    const secretOf = (appId: string) => (appId === "a" ? OLD : appId === "b" ? [NEW] : null);
    const listening = await listen({ secret: OLD, secretOf });
    for (const [appId, secret] of [
      ["a", OLD],
      ["b", NEW],
    ] as const) {
      await dial({ secret, appId }, listening.port);
      expect((await listening.ready()).identity).toMatch(new RegExp(`^${appId}:`));
    }
    for (const appId of ["b", "c"]) {
      await failure(dial({ secret: OLD, appId }, listening.port));
      expect((await listening.refused()).message).toContain(`"${appId}:`);
    }
  });
});

const NOT_FITTING: [what: string, server: SecurityOptions, client: SecurityOptions, server: RegExp, client: RegExp][] =
  [
    [
      "another secret",
      { secret: OLD },
      { secret: NEW },
      /peer's secret is none of this side's: it comes as "ringpost:[0-9a-f]{12}", known key ids: [0-9a-f]{12}/,
      /does not know the key id [0-9a-f]{12}: its secret is another one, or none/,
    ],
    [
      "a server with a certificate, a client with a secret",
      tls(server),
      { secret: OLD },
      /ended the handshake|ended the connection|closed before/,
      /shows a certificate instead of using the secret: it was set up with `tls`, this side with `secret`/,
    ],
    [
      "a server with a secret, a client with a certificate",
      { secret: OLD },
      tls(worker),
      /the peer offers no secret/,
      /no certificate to show: it was set up with `secret`, this side with `tls`/,
    ],
    [
      "a server with a secret, a client without anything",
      { secret: OLD },
      {},
      /does not speak TLS, so it was set up without `secret` and `tls`; it begins with 0x0000/,
      /^$/,
    ],
    [
      "a server without anything, a client with a secret",
      {},
      { secret: OLD },
      /^$/,
      /ended the connection in the handshake: it was set up without `secret` and `tls`, or it is busy/,
    ],
    [
      "an expired certificate at the client",
      tls(server),
      tls(expired),
      /the peer's certificate is refused: it has expired/,
      /ended the connection when it saw this side's certificate/,
    ],
    [
      "a stranger's certificate at the client",
      tls(server),
      tls(foreign),
      /the peer's certificate is refused: `tls.ca` of this side does not know who signed it/,
      /ended the connection when it saw this side's certificate/,
    ],
    [
      "an expired certificate at the server",
      tls(expired),
      tls(worker),
      /ended the handshake|ended the connection|closed before/,
      /the peer's certificate is refused: it has expired/,
    ],
    [
      "a stranger's certificate at the server",
      tls(foreign),
      tls(worker),
      /ended the handshake|ended the connection|closed before/,
      /the peer's certificate is refused: `tls.ca` of this side does not know who signed it/,
    ],
    [
      "a server's certificate for another host",
      tls(worker),
      tls(server),
      /ended the handshake|ended the connection|closed before/,
      /certificate is for another name: .*`tls.serverName` says which one to expect/s,
    ],
    [
      "a client's certificate that names nobody",
      tls(server),
      tls(leaf(ours, "nobody", { names: ["IP:127.0.0.1"] })),
      /names nobody: its subjectAltName has neither a URI nor a DNS name/,
      /ended the connection when it saw this side's certificate/,
    ],
  ];

describe.each(NOT_FITTING)("%s", (_, atServer, atClient, serverSays, clientSays) => {
  test("does not fit: no side is ready, and both say why", async () => {
    const listening = await listen(atServer);
    const attempt = dial(atClient, listening.port);
    if (clientSays.source === "^$") {
      // A client without security sees a connection like any other, until the other side answers its first frame.
      const { socket } = await attempt;
      const answer = new Promise<string>((resolve) => {
        SocketReads.of(socket)?.begin((bytes) => {
          resolve(bytes.subarray(0, 2).toString("hex"));
          return false;
        });
      });
      socket.resume();
      socket.write(FRAME);
      expect(await answer).toBe("1503");
    } else if (serverSays.source === "^$") {
      // So does a server; its transport ends what is no frame.
      const { socket } = await listening.ready();
      socket.once("data", () => socket.destroy());
      const error = await failure(attempt);
      expect(error.message).toMatch(clientSays);
      expect(error.retryable).toBe(true);
      return;
    } else {
      const error = await failure(attempt);
      expect(error.message).toMatch(clientSays);
      expect(error.message).toContain(`${HOST}:${listening.port}`);
      expect(error.address).toEqual({ host: HOST, port: listening.port });
    }
    const refusal = await listening.refused();
    expect(refusal.code).toBe("ERR_RPC_AUTH");
    expect(refusal.message).toMatch(serverSays);
    expect(refusal.message).toContain(HOST);
  });
});
