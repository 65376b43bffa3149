/**
 * Who may do what at a shuffle service: Spark's ExternalShuffleSecuritySuite and AppIsolationSuite, by secret and by
 * certificate, which take the place of SASL and of Spark's own key exchange. And what one peer can cost the others.
 */

import { once } from "node:events";
import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import {
  ExternalBlockStoreClient,
  ExternalShuffleService,
  BlockTransferMessageType as Type,
} from "../../../dist/src/blocks/index.js";
import { authority } from "../../fixtures/certificates.js";
import { ShuffleData } from "../../fixtures/shuffle-data.js";
import { ShufflePeer } from "../../fixtures/shuffle-peer.js";
import {
  BY_CERTIFICATE,
  BY_SECRET,
  certificateOf,
  type ShuffleSecurity,
  secretOf,
} from "../../fixtures/shuffle-security.js";
import { failureOf, fetchChunk, stream, textOf } from "../../fixtures/transport.js";

/** Registers an executor without directories, as Spark's suite does. */
async function register(service: ExternalShuffleService, appId: string, options: object): Promise<void> {
  await using client = new ExternalBlockStoreClient({ conf: { "shuffle.registration.maxAttempts": 1 }, ...options });
  client.init(appId);
  const info = { localDirs: [], subDirsPerLocalDir: 0, shuffleManager: "" };
  await client.registerWithShuffleServer("127.0.0.1", service.port, "exec0", info);
}

function start(security: ShuffleSecurity): Promise<ExternalShuffleService> {
  return ExternalShuffleService.start({ port: 0, ...security.service });
}

describe("by secret", () => {
  it("[net ExternalShuffleSecuritySuite.testValid] whoever has his application's secret is let in", async () => {
    await using service = await start(BY_SECRET);
    await register(service, "my-app-id", BY_SECRET.client("my-app-id"));
    expect(service.stats().registeredExecutorsSize).toBe(1);
  });

  it("[net ExternalShuffleSecuritySuite.testBadAppId] with another application's name he is not", async () => {
    await using service = await ExternalShuffleService.start({
      port: 0,
      secretOf: (appId) => (appId === "my-app-id" ? secretOf(appId) : null),
    });
    const error = await failureOf(register(service, "wrong-app-id", BY_SECRET.client("my-app-id")));
    expect(error).toMatchObject({ code: "ERR_RPC_AUTH" });
    expect(service.stats().registeredExecutorsSize).toBe(0);
  });

  it("[net ExternalShuffleSecuritySuite.testBadSecret] nor with another secret", async () => {
    await using service = await start(BY_SECRET);
    const error = await failureOf(register(service, "my-app-id", BY_SECRET.client("other")));
    expect(error).toMatchObject({ code: "ERR_RPC_AUTH" });
  });

  it("[net ExternalShuffleSecuritySuite.testEncryption] and nothing of what is said is on the wire", async () => {
    await using service = await start(BY_SECRET);
    await using data = await ShuffleData.create();
    await data.writeShuffle(0, 0, ["a secret text that must not be seen"]);
    using peer = await ShufflePeer.connect(service.port, { appId: "app", secret: secretOf("app") });
    await peer.register("app", "exec0", data.info());
    const opened = await peer.open("app", "exec0", ["shuffle_0_0_0"]);
    expect(textOf(await peer.chunk(opened, 0))).toBe("a secret text that must not be seen");
    // A connection without a handshake gets no answer to anything.
    const socket = connect(service.port, "127.0.0.1");
    await once(socket, "connect");
    let heard = "";
    socket.on("data", (bytes) => {
      heard += bytes.toString("latin1");
    });
    socket.on("error", () => {});
    const ended = once(socket, "close");
    socket.write(Buffer.from("0000000000000019030000000000000001000000040a0000", "hex"));
    await ended;
    expect(heard).not.toContain("secret text");
    expect(heard).not.toContain("Exception");
  });

  it("a common secret is for those who have none of their own", async () => {
    const common = "the secret of all others, which is long enough";
    const service = await ExternalShuffleService.start({
      port: 0,
      secret: common,
      secretOf: (appId) => (appId === "own" ? secretOf(appId) : null),
    });
    await using _ = service;
    await register(service, "any", { secret: common });
    await register(service, "own", { secret: secretOf("own") });
    expect(await failureOf(register(service, "own", { secret: common }))).toMatchObject({ code: "ERR_RPC_AUTH" });
  });

  it("a secret that cannot be had, or cannot be one, ends that handshake only, and is logged", async () => {
    const secrets: Readonly<Record<string, () => unknown>> = {
      throws: () => {
        throw new Error("the table of secrets is not there");
      },
      short: () => "too short",
      number: () => 7,
      promised: () => Promise.resolve(secretOf("promised")),
      good: () => secretOf("good"),
    };
    const logged: string[] = [];
    await using service = await ExternalShuffleService.start({
      port: 0,
      secretOf: (appId) => secrets[appId]?.() as string,
      logger: {
        debug: () => {},
        info: () => {},
        warn: (fields) => logged.push((fields as { readonly error: Error }).error.message),
        error: () => {},
      },
    });
    for (const appId of ["throws", "short", "number", "promised"]) {
      const error = await failureOf(register(service, appId, { secret: secretOf(appId) }));
      expect(error).toMatchObject({ code: "ERR_RPC_AUTH" });
    }
    await register(service, "good", { secret: secretOf("good") });
    const text = (why: string) =>
      expect.stringMatching(new RegExp(`the secret of the application cannot be had.*${why}`));
    expect(logged).toEqual([
      text("throws.*the table of secrets is not there"),
      text("short.*secret is too short to be safe: bytes=9, min=32"),
      text("number.*it is number"),
      text("promised.*it is object"),
    ]);
  });

  it("beyond this machine nobody is let in without one", async () => {
    const error = await failureOf(ExternalShuffleService.start({ host: "0.0.0.0", port: 0 }));
    expect(error).toMatchObject({ code: "ERR_RPC_INSECURE_BIND" });
    await using service = await ExternalShuffleService.start({ host: "0.0.0.0", port: 0, secretOf });
    expect(service.port).toBeGreaterThan(0);
  });
});

describe("by certificate", () => {
  it("[net SslExternalShuffleSecuritySuite.testValid] whoever has one that names his application is let in", async () => {
    await using service = await start(BY_CERTIFICATE);
    await register(service, "my-app-id", BY_CERTIFICATE.client("my-app-id"));
    expect(service.stats().registeredExecutorsSize).toBe(1);
  });

  it("[net SslExternalShuffleSecuritySuite.testBadAppId] one that names another application registers nothing", async () => {
    await using service = await start(BY_CERTIFICATE);
    const error = await failureOf(register(service, "wrong-app-id", BY_CERTIFICATE.client("my-app-id")));
    expect(error.message).toMatch(/java\.lang\.SecurityException: Client for my-app-id not authorized/);
    expect(service.stats().registeredExecutorsSize).toBe(0);
  });

  it("[net SslExternalShuffleSecuritySuite.testBadSecret] nor does one of another authority", async () => {
    await using service = await start(BY_CERTIFICATE);
    const forged = certificateOf("my-app-id", authority("another"));
    const error = await failureOf(register(service, "my-app-id", { tls: forged }));
    expect(error).toMatchObject({ code: "ERR_RPC_AUTH" });
  });

  it("[net SslExternalShuffleSecuritySuite.testEncryption] and who speaks in plaintext is not heard", async () => {
    await using service = await start(BY_CERTIFICATE);
    const error = await failureOf(register(service, "my-app-id", {}));
    expect(error).toMatchObject({ name: "RpcError" });
    expect(service.stats().registeredExecutorsSize).toBe(0);
  });
});

/** Two applications, each with an executor that wrote something. */
async function isolation(security: ShuffleSecurity): Promise<void> {
  await using service = await start(security);
  await using data1 = await ShuffleData.create();
  await using data2 = await ShuffleData.create();
  for (const data of [data1, data2]) {
    await data.writeShuffle(0, 0, ["zero", "one", "two"]);
    await data.write("rdd_0_0", "an RDD's");
  }
  using first = await ShufflePeer.connect(service.port, { appId: "app-1", ...security.client("app-1") });
  using second = await ShufflePeer.connect(service.port, { appId: "app-2", ...security.client("app-2") });
  await first.register("app-1", "exec", data1.info());
  await second.register("app-2", "exec", data2.info());
  const denied = /java\.lang\.SecurityException/;

  // Everything in the other's name.
  const theirs = { appId: "app-1", execId: "exec" } as const;
  const asked = [
    second.register("app-1", "exec", data2.info()),
    second.open("app-1", "exec", ["shuffle_0_0_0"]),
    second.ask({
      type: Type.FETCH_SHUFFLE_BLOCKS,
      ...theirs,
      shuffleId: 0,
      mapIds: [0n],
      reduceIds: [[0]],
      batchFetchEnabled: false,
    }),
    second.ask({ type: Type.REMOVE_BLOCKS, ...theirs, blockIds: ["rdd_0_0"] }),
    second.ask({ type: Type.GET_LOCAL_DIRS_FOR_EXECUTORS, appId: "app-1", execIds: ["exec"] }),
    second.ask({
      type: Type.DIAGNOSE_CORRUPTION,
      ...theirs,
      shuffleId: 0,
      mapId: 0n,
      reduceId: 0,
      checksum: 0n,
      algorithm: "CRC32",
    }),
  ];
  for (const one of asked) expect((await failureOf(one)).message).toMatch(denied);
  // In its own name, with the other's directories.
  expect((await failureOf(second.register("app-2", "exec", data1.info()))).message).toMatch(denied);

  // The other's stream, by number and by name, before the owner reads it.
  const opened = await first.open("app-1", "exec", ["shuffle_0_0_0", "shuffle_0_0_1"]);
  const { streamId } = opened;
  expect((await failureOf(fetchChunk(second.client, streamId, 0))).message).toMatch(denied);
  expect((await failureOf(stream(second.client, `${streamId}_0`))).message).toMatch(denied);
  // A stream that there is not tells nothing else.
  expect((await failureOf(fetchChunk(second.client, streamId + 1n, 0))).message).toMatch(/Unknown stream ID/);

  // The owner has lost nothing by it.
  expect((await first.chunks(opened)).map((chunk) => textOf(chunk as Buffer))).toEqual(["zero", "one"]);
  expect(await data1.files()).toContain("rdd_0_0");
  expect(service.stats().registeredExecutorsSize).toBe(2);
}

describe("applications are kept apart", () => {
  it("[net AppIsolationSuite.testSaslAppIsolation] by secret", () => isolation(BY_SECRET));

  it("[net AppIsolationSuite.testAuthEngineAppIsolation] by certificate", () => isolation(BY_CERTIFICATE));

  it("a certificate may stand for an application of another name", async () => {
    const clientIdOf = (identity: string): string | null => (identity === "operator" ? null : `app-of-${identity}`);
    await using service = await ExternalShuffleService.start({ port: 0, ...BY_CERTIFICATE.service, clientIdOf });
    await register(service, "app-of-me", { tls: certificateOf("me") });
    expect((await failureOf(register(service, "me", { tls: certificateOf("me") }))).message).toMatch(/not authorized/);
    await register(service, "anything", { tls: certificateOf("operator") });
  });
});

describe("what one peer can cost", () => {
  it("streams that are opened and not read are bounded, for that connection only", async () => {
    await using service = await ExternalShuffleService.start({ port: 0 });
    using greedy = await ShufflePeer.connect(service.port);
    using modest = await ShufflePeer.connect(service.port);
    const ids = ["rdd_0_0"];
    for (let count = 0; count < 4_096; count++) await greedy.open("app", "exec", ids);
    const error = await failureOf(greedy.open("app", "exec", ids));
    expect(error.message).toMatch(/too many open streams of one connection: count=4096, max=4096/);
    expect((await modest.open("app", "exec", ids)).numChunks).toBe(1);
    expect(service.stats().openStreams).toBe(4_097);
    greedy[Symbol.dispose]();
    await expect.poll(() => service.stats().openStreams).toBe(1);
  });

  it("blocks of one request are bounded, and a request in bytes", async () => {
    await using service = await ExternalShuffleService.start({ port: 0 });
    using peer = await ShufflePeer.connect(service.port);
    const request = {
      type: Type.FETCH_SHUFFLE_BLOCKS,
      appId: "app",
      execId: "exec",
      shuffleId: 0,
      mapIds: [0n],
      batchFetchEnabled: false,
    } as const;
    const reduceIds = [Array.from({ length: 262_145 }, (_, index) => index)];
    const error = await failureOf(peer.ask({ ...request, reduceIds }));
    expect(error.message).toMatch(/too many blocks in one request: count=262145, max=262144/);
    // Those that are allowed are bounded together.
    const allowed = { ...request, reduceIds: [reduceIds[0]?.slice(1) ?? []] };
    for (let count = 0; count < 4; count++) await peer.ask(allowed);
    const full = await failureOf(peer.ask(allowed));
    expect(full.message).toMatch(/too many unfetched blocks of one connection: count=1310720, max=1048576/);
    expect(service.stats()).toMatchObject({ openStreams: 4, openBlocks: 1_048_576 });
    // 17 MiB of ids end the connection before they are held.
    const long = {
      type: Type.OPEN_BLOCKS,
      appId: "app",
      execId: "exec",
      blockIds: ["x".repeat(17 * 2 ** 20)],
    } as const;
    expect(await failureOf(peer.ask(long))).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
  });
});
