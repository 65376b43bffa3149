/**
 * Goal: what a stranger can do to a server that wants a secret or a certificate is to be refused: slowly, in crowds, with
 * half the truth, with the leavings of an earlier connection, or in the server's place.
 * Method: real sockets; a clock that stands still where time counts.
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConnectionOptions, connect as connectTls, createServer as createTlsServer } from "node:tls";
import { promisify } from "node:util";
import { afterEach, describe, expect, test } from "vitest";
import { type Clock, monotonicMs, systemClock } from "../../../dist/src/common/clock.js";
import {
  HANDSHAKE_TIMEOUT_MS,
  HANDSHAKES_PENDING_MAX,
  HANDSHAKES_PENDING_PER_ADDRESS_MAX,
} from "../../../dist/src/common/limits.js";
import { createSecurity, type SecurityOptions } from "../../../dist/src/network/create-security.js";
import { formatIdentity, preSharedKeys } from "../../../dist/src/network/secret.js";
import { authority, leaf } from "../../fixtures/certificates.js";
import { Listening } from "../../fixtures/listening.js";
import { ManualClock } from "../../fixtures/manual-clock.js";

const HOST = "127.0.0.1";
const CIPHERS = "TLS_AES_128_GCM_SHA256";
const SECRET = randomBytes(32);
const [KEY = never()] = preSharedKeys(SECRET);
const IDENTITY = formatIdentity("app", KEY.id);
const clock = systemClock(monotonicMs());
const ours = authority("ours");
const node = leaf(ours, "node", { names: ["DNS:node.example", "IP:127.0.0.1"] });
const tls = { ...node, ca: ours.cert };
const FORMS: [name: string, options: SecurityOptions][] = [
  ["a secret", { secret: SECRET }],
  ["certificates", { tls }],
];

function never(): never {
  throw new Error("there is one key");
}

let open: { close(): Promise<unknown> | unknown }[] = [];
afterEach(async () => {
  for (const each of open.reverse()) await each.close();
  open = [];
});

async function listen(options: SecurityOptions, on: Clock = clock): Promise<Listening> {
  const listening = await Listening.start(createSecurity(options, on), () => null);
  open.push(listening);
  return listening;
}

async function connected(socket: Socket): Promise<Socket> {
  socket.on("error", () => {});
  open.push({ close: () => socket.destroy() });
  await once(socket, "connect");
  return socket;
}

describe.each(FORMS)("a server with %s", (_, options) => {
  test("gives a peer that stalls the time of one handshake, whether he sent something or nothing", async () => {
    const time = new ManualClock();
    const listening = await listen(options, time);
    await connected(connectTcp(listening.port, HOST));
    const half = await connected(connectTcp(listening.port, HOST));
    half.write(Buffer.from("1603010200010001fc0303", "hex"));
    await time.timersSet(2);
    time.advance(HANDSHAKE_TIMEOUT_MS - 1);
    expect(listening.accepted.map(({ destroyed }) => destroyed)).toEqual([false, false]);
    time.advance(1);
    for (let peer = 0; peer < 2; peer++) {
      expect((await listening.refused()).message).toContain(
        `not finish the handshake: timeoutMs=${HANDSHAKE_TIMEOUT_MS}`,
      );
    }
    expect(listening.accepted.map(({ destroyed }) => destroyed)).toEqual([true, true]);
    expect(time.timerCount).toBe(0);
  });

  test("tells two connections apart that differ only in where they lead to", async () => {
    const time = new ManualClock();
    const listening = await Listening.start(createSecurity(options, time), () => null, "0.0.0.0");
    open.push(listening);
    const { port } = listening;
    const { localPort } = await connected(connectTcp({ port, host: HOST, localAddress: HOST }));
    await connected(connectTcp({ port, host: "127.0.0.2", localAddress: HOST, localPort: localPort as number }));
    await time.timersSet(2);
    time.advance(HANDSHAKE_TIMEOUT_MS);
    for (let peer = 0; peer < 2; peer++)
      expect((await listening.refused()).message).toContain(`${HOST}:${localPort}: `);
    expect(listening.accepted.map(({ destroyed }) => destroyed)).toEqual([true, true]);
  });

  test("takes so many at a time through the handshake, and tells one more that it is busy", async () => {
    const listening = await listen(options);
    const idle: Socket[] = [];
    for (let count = 0; count < HANDSHAKES_PENDING_MAX; count++) {
      const localAddress = `127.0.1.${Math.floor(count / HANDSHAKES_PENDING_PER_ADDRESS_MAX)}`;
      idle.push(await connected(connectTcp({ port: listening.port, host: HOST, localAddress })));
    }
    const dial = () => createSecurity(options, clock).connect({ host: HOST, port: listening.port, timeoutMs: 30_000 });
    await expect(dial()).rejects.toMatchObject({
      code: expect.stringMatching(/ERR_RPC_(CONNECT|AUTH)/),
      retryable: true,
    });
    expect((await listening.refused()).message).toContain(`max=${HANDSHAKES_PENDING_MAX}`);
    idle[0]?.destroy();
    expect((await listening.refused()).message).toContain("closed before the handshake was done");
    const { socket } = await dial();
    expect((await listening.ready()).identity).not.toBeNull();
    socket.destroy();
  });

  test("gives one address some of the places only: another one still gets in, and so does this one when it makes room", async () => {
    const listening = await listen(options);
    const max = HANDSHAKES_PENDING_PER_ADDRESS_MAX;
    const idle: Socket[] = [];
    for (let count = 0; count < HANDSHAKES_PENDING_MAX; count++) {
      idle.push(await connected(connectTcp(listening.port, HOST)));
    }
    for (let count = max; count < HANDSHAKES_PENDING_MAX; count++) {
      expect((await listening.refused()).message).toContain(
        `from ${HOST} are in the middle of a handshake: max=${max}`,
      );
    }
    const proof: ConnectionOptions =
      options.secret === undefined
        ? { ...tls }
        : {
            ciphers: CIPHERS,
            pskCallback: () => ({ psk: KEY.key, identity: IDENTITY }),
            checkServerIdentity: () => undefined,
          };
    const raw = await connected(connectTcp({ port: listening.port, host: HOST, localAddress: "127.0.0.2" }));
    const other = connectTls({ socket: raw, host: HOST, ...proof });
    open.push({ close: () => other.destroy() });
    expect((await listening.ready()).socket.remoteAddress).toBe("127.0.0.2");
    for (const socket of idle) socket.destroy();
    for (let count = 0; count < max; count++) {
      expect((await listening.refused()).message).toContain("closed before the handshake was done");
    }
    const { socket } = await createSecurity(options, clock).connect({
      host: HOST,
      port: listening.port,
      timeoutMs: 30_000,
    });
    expect((await listening.ready()).socket.remoteAddress).toBe(HOST);
    socket.destroy();
  });

  test("ends handshakes that are under way when it closes", async () => {
    const listening = await listen(options);
    const accepted = once(listening.server, "connection");
    await connected(connectTcp(listening.port, HOST));
    await accepted;
    const closed = once(listening.server, "close");
    listening.server.close();
    await closed;
    expect((await listening.refused()).message).toContain("the server is closing");
  });

  test("refuses HTTP, and TLS before 1.3", async () => {
    const listening = await listen(options);
    const http = await connected(connectTcp(listening.port, HOST));
    http.write("GET / HTTP/1.1\r\n\r\n");
    expect((await listening.refused()).message).toMatch(/does not speak TLS.*0x474554/);
    await connected(connectTls({ host: HOST, port: listening.port, maxVersion: "TLSv1.2" }));
    expect((await listening.refused()).message).toMatch(/no version of TLS in common/);
  });

  test("lets nobody come back on what an earlier connection left him", async () => {
    const listening = await listen(options);
    const proof: ConnectionOptions =
      options.secret === undefined
        ? { ...tls }
        : { ciphers: CIPHERS, pskCallback: () => ({ psk: KEY.key, identity: IDENTITY }) };
    const first = connectTls({ host: HOST, port: listening.port, minVersion: "TLSv1.3", ...proof });
    open.push({ close: () => first.destroy() });
    const [ticket] = (await once(first, "session")) as [Buffer];
    await listening.ready();
    const stripped = { host: HOST, port: listening.port, ciphers: CIPHERS, ca: ours.cert, rejectUnauthorized: false };
    const again = await connected(connectTls({ ...stripped, session: ticket }));
    again.resume();
    expect((await listening.refused()).message).toMatch(/offers no secret|shows no certificate/);
  });
});

test("a server with a secret refuses a client that knows the id of the key and not the key", async () => {
  const listening = await listen({ secret: SECRET });
  const psk = randomBytes(32);
  const socket = connectTls({
    host: HOST,
    port: listening.port,
    ciphers: CIPHERS,
    pskCallback: () => ({ psk, identity: IDENTITY }),
  });
  await expect(once(socket, "secureConnect")).rejects.toThrow();
  expect((await listening.refused()).message).toContain(`another one than that of ${JSON.stringify(IDENTITY)}`);
});

describe("a client with a secret", () => {
  test("is not content with a server whose certificate the system trusts", async () => {
    const server = createTlsServer({ key: node.key, cert: node.cert, minVersion: "TLSv1.3" });
    server.on("tlsClientError", () => {}).listen(0, HOST);
    open.push({ close: () => server.close() });
    await once(server, "listening");
    const folder = mkdtempSync(join(tmpdir(), "ringpost-ca-"));
    open.push({ close: () => rmSync(folder, { recursive: true }) });
    const trusted = join(folder, "ca.pem");
    writeFileSync(trusted, ours.cert);
    const { port } = server.address() as AddressInfo;
    const url = (file: string) => JSON.stringify(new URL(`../../../dist/src/${file}`, import.meta.url).href);
    const script = `
      import { connect } from "node:tls";
      import { once } from "node:events";
      import { createSecurity } from ${url("network/create-security.js")};
      import { systemClock } from ${url("common/clock.js")};
      const target = { host: ${JSON.stringify(HOST)}, port: ${port} };
      const plain = connect(target);
      await once(plain, "secureConnect");
      console.log(plain.authorized);
      plain.destroy();
      const security = createSecurity({ secret: "x".repeat(32) }, systemClock(0));
      await security.connect({ ...target, timeoutMs: 30_000 }).catch((error) => console.log(error.code, error.message));
    `;
    const args = ["--input-type=module", "-e", script];
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: trusted };
    const { stdout } = await promisify(execFile)(process.execPath, args, { env });
    expect(stdout).toMatch(/^true\nERR_RPC_AUTH .*shows a certificate instead of using the secret/);
  });
});

describe.each(FORMS)("a client with %s", (_, options) => {
  test("gives up a peer that takes the connection and says nothing", async () => {
    const time = new ManualClock();
    const silent = createTcpServer(() => {}).listen(0, HOST);
    const sockets: Socket[] = [];
    silent.on("connection", (socket) => sockets.push(socket));
    open.push({ close: () => silent.close() }, { close: () => sockets.forEach((socket) => void socket.destroy()) });
    await once(silent, "listening");
    const { port } = silent.address() as AddressInfo;
    const attempt = createSecurity(options, time).connect({ host: HOST, port, timeoutMs: Number.POSITIVE_INFINITY });
    const failed = expect(attempt).rejects.toMatchObject({
      code: "ERR_RPC_AUTH",
      retryable: true,
      message: expect.stringContaining(`does not go on with the handshake: timeoutMs=${HANDSHAKE_TIMEOUT_MS}`),
    });
    // The first timer is the handshake's: there is none without a limit for the connection.
    await time.timersSet(1);
    time.advance(HANDSHAKE_TIMEOUT_MS);
    await failed;
    expect(time.timerCount).toBe(0);
  });

  test("can be told to give up", async () => {
    const silent = createTcpServer(() => {}).listen(0, HOST);
    const accepted = once(silent, "connection");
    open.push({ close: () => silent.close() });
    await once(silent, "listening");
    const { port } = silent.address() as AddressInfo;
    const abort = new AbortController();
    const attempt = createSecurity(options, clock).connect({
      host: HOST,
      port,
      timeoutMs: 30_000,
      signal: abort.signal,
    });
    const failed = expect(attempt).rejects.toBe("enough");
    const [socket] = (await accepted) as [Socket];
    open.push({ close: () => socket.destroy() });
    abort.abort("enough");
    await failed;
  });
});
