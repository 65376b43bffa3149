/**
 * Goal: with a secret or certificates the transport does all that it does without, and nothing for those without.
 * Method: the transport's own servers and clients; everything that is sent differs in size from what TLS writes at a time.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { monotonicMs, systemClock } from "../../../dist/src/common/clock.js";
import {
  createSecurity,
  FileSegmentManagedBuffer,
  NioManagedBuffer,
  OneForOneStreamManager,
  type SecurityOptions,
} from "../../../dist/src/network/index.js";
import { authority, leaf } from "../../fixtures/certificates.js";
import { ask, failureOf, fetchChunk, ScriptedHandler, Transports, until, upload } from "../../fixtures/transport.js";

const clock = systemClock(monotonicMs());
const ours = authority("ours");
const node = { ...leaf(ours, "node", { names: ["URI:spiffe://app/node", "IP:127.0.0.1"] }), ca: ours.cert };
const FORMS: [name: string, options: SecurityOptions, identity: RegExp][] = [
  ["a secret", { secret: randomBytes(32), appId: "app-1" }, /^app-1:[0-9a-f]{12}$/],
  ["certificates", { tls: node }, /^spiffe:\/\/app\/node$/],
];

const SIZES = [0, 1, 16_383, 16_384, 16_385, 100_000, 3_000_000];
const FILE = randomBytes(5_000_000);
const folder = mkdtempSync(join(tmpdir(), "ringpost-secure-"));
const path = join(folder, "file");
writeFileSync(path, FILE);
afterAll(() => rmSync(folder, { recursive: true }));

function echo(): ScriptedHandler {
  return new ScriptedHandler({ receive: (_client, message, reply) => reply.onSuccess(Buffer.from(message)) });
}

/** Whom its clients belong to, when there are any. */
async function clientIds(handler: ScriptedHandler): Promise<(string | null)[]> {
  await until(() => handler.clients.length > 0);
  return handler.clients.map(({ clientId }) => clientId);
}

describe.each(FORMS)("with %s", (_, options, identity) => {
  const security = createSecurity(options, clock);

  test("requests of any size are answered, many at a time and in their order", async () => {
    await using transports = new Transports();
    const server = await transports.serve(echo(), { security });
    const client = await transports.client(server, transports.context({ security }));
    for (const size of SIZES) expect(await ask(client, "x".repeat(size))).toHaveLength(size);
    const numbers = Array.from({ length: 2_000 }, (_element, number) => String(number));
    const answered: string[] = [];
    await Promise.all(numbers.map(async (number) => answered.push(await ask(client, number))));
    expect(answered).toEqual(numbers);
  });

  test("chunks arrive from memory and from files, and uploads too", async () => {
    await using transports = new Transports();
    const streams = new OneForOneStreamManager(() => 0);
    const uploads: Buffer[] = [];
    const chunks = [
      new NioManagedBuffer(FILE.subarray(0, 100_000)),
      new FileSegmentManagedBuffer(path, 10, FILE.length - 20),
    ];
    const handler = new ScriptedHandler({
      streams,
      receiveStream: (_client, meta) => ({
        getID: () => meta,
        onData: (_id, bytes) => void uploads.push(Buffer.from(bytes)),
        onComplete: () => {},
        onFailure: () => {},
      }),
    });
    const server = await transports.serve(handler, { security });
    const client = await transports.client(server, transports.context({ security }));
    const [appId = null] = await clientIds(handler);
    const streamId = streams.registerStream({ appId, buffers: chunks });
    expect((await fetchChunk(client, streamId, 0)).equals(FILE.subarray(0, 100_000))).toBe(true);
    expect((await fetchChunk(client, streamId, 1)).equals(FILE.subarray(10, -10))).toBe(true);
    await upload(client, "meta", new FileSegmentManagedBuffer(path, 0, FILE.length));
    expect(Buffer.concat(uploads).equals(FILE)).toBe(true);
  });

  test("a server knows who its clients are", async () => {
    await using transports = new Transports();
    const handler = echo();
    const server = await transports.serve(handler, { security });
    const client = await transports.client(server, transports.context({ security }));
    await ask(client, "hello");
    expect(handler.clients.map((one) => one.identity)).toEqual([expect.stringMatching(identity)]);
    expect(client.identity).toMatch(identity);
  });

  test("who has neither is not heard, whatever he sends", async () => {
    await using transports = new Transports();
    const handler = echo();
    const server = await transports.serve(handler, { security });
    const stranger = await transports.client(server);
    expect(await failureOf(ask(stranger, "hello"))).toMatchObject({
      code: "ERR_RPC_AUTH",
      retryable: false,
      maybeExecuted: false,
      message: expect.stringContaining("a TLS alert: "),
    });
    const liar = createSecurity({ secret: randomBytes(32) }, clock);
    const refused = await failureOf(transports.client(server, transports.context({ security: liar })));
    expect(refused).toMatchObject({ code: "ERR_RPC_AUTH" });
    expect(handler.events).toEqual([]);
    await until(() => server.refusedCount === 2);
  });
});
