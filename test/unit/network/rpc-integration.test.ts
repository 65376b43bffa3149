/**
 * Goal: requests, one-way messages and uploads between two real sockets end as Spark's RpcIntegrationSuite demands.
 * Method: a server that knows "hello/X", "return error/X" and "throw error/X", and keeps what is uploaded to it.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { FileSegmentManagedBuffer, type ManagedBuffer, NioManagedBuffer } from "../../../dist/src/network/index.js";
import { ask, failureOf, ScriptedHandler, Transports, textOf, until, upload } from "../../fixtures/transport.js";

const SMALL = Buffer.from(Array.from({ length: 100 }, (_, index) => index % 256));
const LARGE = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 256));
const FILE = Buffer.from(Array.from({ length: 512 * 1024 }, (_, index) => (index * 31) % 251));

function spark() {
  const oneWays: string[] = [];
  const uploads = new Map<string, Buffer>();
  const failures: string[] = [];
  const handler = new ScriptedHandler({
    receive(_client, message, reply) {
      const [what, argument] = message.split("/");
      if (what === "hello") reply.onSuccess(Buffer.from(`Hello, ${argument}!`));
      else if (what === "return error") reply.onFailure(new Error(`Returned: ${argument}`));
      else throw new Error(`Thrown: ${argument}`);
    },
    receiveOneWay: (_client, message) => void oneWays.push(message),
    receiveStream(_client, meta) {
      if (meta === "null") return null;
      const pieces: Buffer[] = [];
      return {
        getID: () => meta,
        onData(_id, bytes) {
          if (meta === "fail/onData") throw new Error("no room");
          pieces.push(Buffer.from(bytes));
        },
        onComplete() {
          if (meta === "fail/onComplete") throw new Error("not kept");
          uploads.set(meta, Buffer.concat(pieces));
        },
        onFailure: (id, error) => void failures.push(`${id}: ${error.message}`),
      };
    },
  });
  return { handler, oneWays, uploads, failures };
}

async function connected(transports: Transports) {
  const peer = spark();
  const server = await transports.serve(peer.handler);
  return { ...peer, server, client: await transports.client(server) };
}

describe("RpcIntegrationSuite", () => {
  test("[net RpcIntegrationSuite.singleRPC] a request is answered", async () => {
    await using transports = new Transports();
    const { client } = await connected(transports);
    expect(await ask(client, "hello/Aaron")).toBe("Hello, Aaron!");
    expect(client.outstandingCount).toBe(0);
  });

  test("[net RpcIntegrationSuite.doubleRPC] two requests are answered, each with its own answer", async () => {
    await using transports = new Transports();
    const { client } = await connected(transports);
    const answers = await Promise.all([ask(client, "hello/Aaron"), ask(client, "hello/Reynold")]);
    expect(answers).toEqual(["Hello, Aaron!", "Hello, Reynold!"]);
  });

  test("[net RpcIntegrationSuite.returnErrorRPC] an error that is returned arrives with its text", async () => {
    await using transports = new Transports();
    const { client } = await connected(transports);
    const error = await failureOf(ask(client, "return error/OK"));
    expect(error).toMatchObject({ code: "ERR_RPC_HANDLER", message: "java.lang.RuntimeException: Returned: OK" });
  });

  test("[net RpcIntegrationSuite.throwErrorRPC] an error that is thrown arrives with its text", async () => {
    await using transports = new Transports();
    const { client } = await connected(transports);
    expect((await failureOf(ask(client, "throw error/uh-oh"))).message).toContain("Thrown: uh-oh");
  });

  test("[net RpcIntegrationSuite.doubleTrouble] both errors arrive over one connection", async () => {
    await using transports = new Transports();
    const { client } = await connected(transports);
    const [returned, thrown] = await Promise.all([
      failureOf(ask(client, "return error/OK")),
      failureOf(ask(client, "throw error/uh-oh")),
    ]);
    expect(returned.message).toContain("Returned: OK");
    expect(thrown.message).toContain("Thrown: uh-oh");
  });

  test("[net RpcIntegrationSuite.sendSuccessAndFailure] answers and errors are not mixed up", async () => {
    await using transports = new Transports();
    const { client } = await connected(transports);
    const ends = await Promise.allSettled(
      ["hello/Bob", "throw error/the", "hello/Builder", "return error/!"].map((message) => ask(client, message)),
    );
    expect(ends.map((end) => (end.status === "fulfilled" ? end.value : end.reason.message))).toEqual([
      "Hello, Bob!",
      "java.lang.RuntimeException: Thrown: the",
      "Hello, Builder!",
      "java.lang.RuntimeException: Returned: !",
    ]);
  });

  test("[net RpcIntegrationSuite.sendOneWayMessage] a one-way message arrives once and leaves nothing outstanding", async () => {
    await using transports = new Transports();
    const { client, oneWays } = await connected(transports);
    expect(client.send(Buffer.from("no reply"))).toBe(true);
    expect(await ask(client, "hello/after")).toBe("Hello, after!");
    expect(oneWays).toEqual(["no reply"]);
    expect(client.outstandingCount).toBe(0);
  });

  test("[net RpcIntegrationSuite.sendRpcWithStreamOneAtATime] uploads of all sizes arrive as they are", async () => {
    await using transports = new Transports();
    const { client, uploads } = await connected(transports);
    const folder = mkdtempSync(join(tmpdir(), "ringpost-"));
    const path = join(folder, "upload");
    writeFileSync(path, FILE);
    const bodies: [string, ManagedBuffer, Buffer][] = [
      ["large", new NioManagedBuffer(LARGE), LARGE],
      ["small", new NioManagedBuffer(SMALL), SMALL],
      ["empty", new NioManagedBuffer(new Uint8Array(0)), Buffer.alloc(0)],
      ["file", new FileSegmentManagedBuffer(path, 0, FILE.length), FILE],
    ];
    for (const [name, body, bytes] of bodies) {
      expect(await upload(client, name, body)).toBe("");
      expect(uploads.get(name)?.equals(bytes)).toBe(true);
    }
    rmSync(folder, { recursive: true });
  });

  test("[net RpcIntegrationSuite.sendRpcWithStreamConcurrently] ten uploads one behind the other arrive as they are", async () => {
    await using transports = new Transports();
    const { client, uploads } = await connected(transports);
    const names = Array.from({ length: 10 }, (_, index) => `upload ${index}`);
    await Promise.all(
      names.map((name, index) => upload(client, name, new NioManagedBuffer(index % 2 ? SMALL : LARGE))),
    );
    expect(names.map((name) => uploads.get(name)?.length)).toEqual(
      names.map((_, index) => (index % 2 ? 100 : 100_000)),
    );
  });

  test("[net RpcIntegrationSuite.sendRpcWithStreamFailures] a failing receiver ends the connection, a failing end does not", async () => {
    await using transports = new Transports();
    const { server, client, failures, uploads } = await connected(transports);
    const [first, second] = await Promise.all([
      failureOf(upload(client, "fail/onData", new NioManagedBuffer(LARGE))),
      failureOf(upload(client, "after", new NioManagedBuffer(LARGE))),
    ]);
    expect(first.message).toContain("Destination failed while reading stream");
    expect(second).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
    expect(failures).toEqual([expect.stringContaining("fail/onData")]);
    await until(() => !client.isActive);

    const other = await transports.client(server);
    const refused = await failureOf(upload(other, "null", new NioManagedBuffer(LARGE)));
    expect(refused.message).toMatch(/receiveStream returned null|closed/);
    await until(() => !other.isActive);

    const third = await transports.client(server);
    const [postProcessing, next] = await Promise.all([
      failureOf(upload(third, "fail/onComplete", new NioManagedBuffer(SMALL))),
      upload(third, "next", new NioManagedBuffer(SMALL)),
    ]);
    expect(postProcessing.message).toContain("java.io.IOException: Failure post-processing complete stream");
    expect(next).toBe("");
    expect(uploads.get("next")?.equals(SMALL)).toBe(true);
    expect(third.isActive).toBe(true);
  });

  test("bodies are captured at once: a sender may reuse his memory", async () => {
    await using transports = new Transports();
    const { client } = await connected(transports);
    const memory = Buffer.from("hello/one");
    const answer = new Promise<string>((resolve, reject) => {
      client.sendRpc([memory.subarray(0, 6), memory.subarray(6)], {
        onSuccess: (response) => resolve(textOf(response)),
        onFailure: reject,
      });
    });
    memory.fill(0);
    expect(await answer).toBe("Hello, one!");
  });

  test("a request that was removed is not told of its answer", async () => {
    await using transports = new Transports();
    const { client } = await connected(transports);
    const told: string[] = [];
    const note = { onSuccess: () => void told.push("success"), onFailure: () => void told.push("failure") };
    const handle = client.sendRpc(Buffer.from("hello/removed"), note);
    expect(client.removeRpcRequest(handle)).toBe(true);
    expect(client.removeRpcRequest(handle)).toBe(false);
    expect(await ask(client, "hello/next")).toBe("Hello, next!");
    expect(told).toEqual([]);
  });
});
