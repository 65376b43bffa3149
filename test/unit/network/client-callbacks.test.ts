/**
 * Goal: what a callback of a client throws, or rejects with because it is an async function, is logged, and disturbs nobody:
 * neither the process nor the others that wait for answers of the same connection.
 * Method: real sockets; every kind of callback, on a client that is alive, one that ends, and one that has ended. What were not
 * caught would end the process, which vitest reports as a failure of the run.
 */
import { describe, expect, test } from "vitest";
import { NioManagedBuffer, OneForOneStreamManager, type TransportClient } from "../../../dist/src/network/index.js";
import { ask, failureOf, fetchChunk, ScriptedHandler, Transports, until } from "../../fixtures/transport.js";

async function connected(transports: Transports) {
  const warnings: unknown[] = [];
  const streams = new OneForOneStreamManager(() => 0);
  const chunks = ["0", "1"].map((text) => new NioManagedBuffer(Buffer.from(text)));
  const streamId = streams.registerStream({ buffers: chunks });
  const handler = new ScriptedHandler({
    streams,
    receive: (_client, message, reply) => {
      if (message !== "nothing") reply.onSuccess(Buffer.from(message));
    },
  });
  const logger = {
    debug() {},
    info() {},
    error() {},
    warn: ({ error }: { readonly error?: unknown }) => void warnings.push((error as Error).message),
  };
  const client = await transports.client(await transports.serve(handler), transports.context({ logger }));
  return { client, warnings, streamId };
}

/** Fails in each of its methods, at once or later. */
function failing(isAsync: boolean) {
  // A type that asks for no result takes an async function, too.
  const fail = (): Promise<void> => {
    const error = new Error("of a callback");
    if (!isAsync) throw error;
    return Promise.reject(error);
  };
  return { onSuccess: fail, onFailure: fail, onData: fail, onComplete: fail };
}

/** Asks in every way that ends in `onFailure` once the connection is gone. */
function askInEveryWay(client: TransportClient, isAsync: boolean): number {
  const bad = failing(isAsync);
  client.sendRpc(Buffer.from("nothing"), bad);
  client.stream("none", bad);
  client.fetchChunk(4711n, 0, bad);
  client.uploadStream(Buffer.from("meta"), new NioManagedBuffer(Buffer.from("x")), bad);
  client.sendMergedBlockMetaReq("app", 0, 0, 0, bad);
  return 5;
}

describe.each([
  ["throws", false],
  ["rejects", true],
] as const)("a callback that %s", (_, isAsync) => {
  test("with its answer is logged, and the others get theirs", async () => {
    await using transports = new Transports();
    const { client, warnings, streamId } = await connected(transports);
    const bad = failing(isAsync);
    client.sendRpc(Buffer.from("one"), bad);
    client.sendRpc(Buffer.from("two"), { ...bad, onSuccessBytes: bad.onSuccess });
    client.fetchChunk(streamId, 0, bad);
    client.stream(`${streamId}_0`, bad);
    client.whenWritten(bad.onSuccess);
    expect(await ask(client, "three")).toBe("three");
    await until(() => warnings.length === 5);
    expect(new Set(warnings)).toEqual(new Set(["of a callback"]));
    expect((await fetchChunk(client, streamId, 1)).toString()).toBe("1");
  });

  test("when its connection ends, or has ended, is logged, and the others are told too", async () => {
    await using transports = new Transports();
    const { client, warnings } = await connected(transports);
    let asked = askInEveryWay(client, isAsync);
    const other = failureOf(ask(client, "nothing"));
    client.connection.fail(new Error("cut"));
    expect(await other).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
    asked += askInEveryWay(client, isAsync);
    expect(await failureOf(ask(client, "late"))).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
    await until(() => warnings.length === asked);
    expect(new Set(warnings)).toEqual(new Set(["of a callback"]));
  });
});

test("a chunk is fetched once at a time: the second call is refused, and the first gets its answer", async () => {
  await using transports = new Transports();
  const { client, streamId } = await connected(transports);
  const first = fetchChunk(client, streamId, 0);
  const refused = await failureOf(fetchChunk(client, streamId, 0));
  expect(refused).toMatchObject({
    code: "ERR_RPC_INVALID_ARGUMENT",
    message: `StreamChunkId[streamId=${streamId},chunkIndex=0] is being fetched already by this client`,
  });
  expect((await first).toString()).toBe("0");
  expect(client.outstandingCount).toBe(0);
  expect((await failureOf(fetchChunk(client, streamId, 0))).message).toContain("out-of-order");
});

test("a body that cannot be had fails by itself, not while another message is being written", async () => {
  await using transports = new Transports();
  const { client } = await connected(transports);
  const body = new (class extends NioManagedBuffer {
    override toBody(): never {
      throw new Error("the body is gone");
    }
  })(Buffer.from("x"));
  const nested = new Promise((resolve, reject) => {
    client.uploadStream(Buffer.from("meta"), body, {
      onSuccess: () => reject(new Error("it was sent")),
      // Longer than what a batch has left: room is made anew.
      onFailure: () => resolve(ask(client, "n".repeat(10_000))),
    });
  });
  const others = Array.from({ length: 20 }, (_, n) => ask(client, `${n}`.repeat(6_000)));
  expect((await Promise.all(others)).map((answer) => answer.slice(0, 2))).toEqual(
    others.map((_, n) => `${n}${n}`.slice(0, 2)),
  );
  expect(await nested).toBe("n".repeat(10_000));
  expect(client.isActive).toBe(true);
});
