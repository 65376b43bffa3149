/**
 * Goal: a file of another environment comes whole or fails; whoever reads slowly, gives up, or loses the other side holds
 * up nobody else and leaves nothing behind.
 * Method: real files, sparse where they are large, between environments on loopback; what is open is counted in /proc. The
 * size of the slow reader's file is 1 GiB with `RINGPOST_FULL_FAULTS=1`.
 */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import { rename, rm, symlink, truncate } from "node:fs/promises";
import { type AddressInfo, createServer, type Socket } from "node:net";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import { RpcEnv, type RpcEnvOptions } from "ringpost";
import { describe, expect, test } from "vitest";
import { ServedFile } from "../../../dist/src/env/served-file.js";
import { failureOf } from "../../contract/ask-send.contract.js";
import { Child } from "../../fixtures/child-process.js";
import { DEAD_MS, FULL, QUICK_CONF, Told } from "../../fixtures/faults.js";
import { Folder } from "../../fixtures/folder.js";

const MIB = 1024 * 1024;
/** More than all buffers on the way hold. */
const LARGE_BYTES = 64 * MIB;
const SECRET = "s".repeat(32);
const SLOW_BYTES = (FULL ? 1_024 : 256) * MIB;

async function server(options: RpcEnvOptions = {}): Promise<RpcEnv> {
  return RpcEnv.create({ numThreads: 1, host: "127.0.0.1", ...options });
}

/** A folder that is served, with one file in it that has no bytes on disk. */
async function withLarge(run: (uri: string, folder: Folder, env: RpcEnv) => Promise<void>, bytes = LARGE_BYTES) {
  await using folder = await Folder.create();
  await using env = await server();
  await truncate(await folder.file("large", ""), bytes);
  await folder.file("small", "small");
  await run(await env.fileServer.addDirectory("/served", folder.path), folder, env);
}

/** The first bytes of a stream, which then waits. */
async function begun(stream: Readable): Promise<Readable> {
  await once(stream, "readable");
  expect(stream.read(1)).toHaveLength(1);
  return stream;
}

/** Reads the rest. Resolves to its length. */
async function rest(stream: Readable): Promise<number> {
  let bytes = 0;
  for await (const chunk of stream) bytes += (chunk as Buffer).length;
  return bytes;
}

/** Files below the folder that this process has open. */
function openBelow(folder: Folder): string[] {
  return openFiles().filter((path) => path.startsWith(folder.path));
}

function openFiles(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return [];
    }
  });
}

function sockets(): number {
  return openFiles().filter((path) => path.startsWith("socket:")).length;
}

describe("what is no file to be had", () => {
  test("a uri without host, port or path is refused before anything is opened", async () => {
    await using env = await server();
    const port = env.address?.port;
    for (const uri of [
      "",
      "/files/a",
      "ringpost://",
      `http://127.0.0.1:${port}/files/a`,
      "ringpost://127.0.0.1/files/a",
      "ringpost://127.0.0.1:0/files/a",
      "ringpost://127.0.0.1:65536/files/a",
      `ringpost://:${port}/files/a`,
      `ringpost://127.0.0.1:${port}`,
      `ringpost://127.0.0.1:${port}/`,
      `ringpost://name@127.0.0.1:${port}/files/a`,
      `ringpost://127.0.0.1:${port}/files/a?b`,
      `ringpost://127.0.0.1:${port}/files/a#b`,
      `ringpost://127.0.0.1:${port}/files/100%`,
      null as unknown as string,
    ]) {
      expect(await failureOf(env.openChannel(uri))).toMatchObject({ code: "ERR_RPC_INVALID_ARGUMENT" });
    }
  });

  test("an environment that does not listen serves nothing, and reads", () =>
    withLarge(async (uri, folder) => {
      await using env = await RpcEnv.create({ numThreads: 1 });
      for (const refused of [
        env.fileServer.addFile(`${folder.path}/small`),
        env.fileServer.addDirectory("/a", folder.path),
      ]) {
        const error = await failureOf(refused);
        expect([error.code, error.message]).toEqual([
          "ERR_RPC_INVALID_ARGUMENT",
          expect.stringContaining("does not listen"),
        ]);
      }
      expect(await text(await env.openChannel(`${uri}/small`))).toBe("small");
    }));

  test("what is no regular file cannot be added, and a pipe in a folder holds nobody up", async () => {
    await using folder = await Folder.create();
    await using env = await server();
    const pipe = `${folder.path}/pipe`;
    await promisify(execFile)("mkfifo", [pipe]);
    const { fileServer } = env;
    for (const path of [folder.path, pipe, `${folder.path}/gone`, "/dev/zero", "a\0b", 1 as unknown as string]) {
      expect(await failureOf(fileServer.addFile(path))).toMatchObject({ code: "ERR_RPC_INVALID_ARGUMENT" });
    }
    for (const path of [pipe, `${folder.path}/gone`]) {
      expect(await failureOf(fileServer.addDirectory("/a", path))).toMatchObject({ code: "ERR_RPC_INVALID_ARGUMENT" });
    }
    const uri = await fileServer.addDirectory("/a", folder.path);
    const error = await failureOf(env.openChannel(`${uri}/pipe`).then(text));
    expect([error.code, error.message]).toEqual(["ERR_RPC_STREAM", "Stream '/a/pipe' was not found."]);
  });

  test("a folder that is exchanged for a link after a file below it was found leads nowhere else", async () => {
    await using folder = await Folder.create();
    await folder.file("served/sub/file", "inside");
    await folder.file("secret/file", "outside");
    const [served, aside] = [`${folder.path}/served/sub`, `${folder.path}/aside`];
    const file = new ServedFile("/a", `${folder.path}/served`, "sub/file");
    const found = await file.locate();
    expect(String(await found.bytes())).toBe("inside");
    await rename(served, aside);
    await symlink(`${folder.path}/secret`, served);
    expect(await failureOf(Promise.resolve(found.toBody()))).toMatchObject({ code: "ERR_RPC_STREAM" });
    expect(await failureOf(file.toBody())).toMatchObject({ message: "Stream '/a' was not found." });
    await rm(served);
    await rename(aside, served);
    expect(String(await found.bytes())).toBe("inside");
  });

  test("who does not answer is asked for eight connections, and then all who wait for one fail alike", async () => {
    await using env = await RpcEnv.create({
      numThreads: 1,
      secret: SECRET,
      conf: { "rpc.handshake.timeout": "200ms" },
    });
    const accepted: Socket[] = [];
    const silent = createServer((socket) => accepted.push(socket.on("error", () => {}))).listen(0, "127.0.0.1");
    await once(silent, "listening");
    const { port } = silent.address() as AddressInfo;
    const uri = `ringpost://127.0.0.1:${port}/files/a`;
    const errors = await Promise.all(Array.from({ length: 100 }, () => failureOf(env.openChannel(uri).then(text))));
    expect(new Set(errors.map(({ code, address }) => `${code} ${address?.port}`))).toEqual(
      new Set([`ERR_RPC_AUTH ${port}`]),
    );
    expect(accepted).toHaveLength(8);
    for (const socket of accepted) socket.destroy();
    silent.close();
    await once(silent, "close");
    expect(await failureOf(env.openChannel(uri).then(text))).toMatchObject({ code: "ERR_RPC_CONNECT" });
  });

  test("whoever has not proved the secret reads nothing", async () => {
    await using folder = await Folder.create();
    await using env = await server({ secret: SECRET });
    const uri = await env.fileServer.addFile(await folder.file("file", "secret"));
    expect(await text(await env.openChannel(uri))).toBe("secret");
    for (const options of [{}, { secret: "t".repeat(32) }]) {
      await using stranger = await RpcEnv.create({ numThreads: 1, ...options });
      const error = await failureOf(stranger.openChannel(uri).then(text));
      expect(error.code).toMatch(/^ERR_RPC_(AUTH|CONNECT|CONNECTION_LOST|PROTOCOL)$/);
    }
  });
});

describe("a file that does not come whole", () => {
  test("one that becomes shorter on its way fails there, and nothing else does", () =>
    withLarge(async (uri, folder, env) => {
      await using other = await RpcEnv.create({ numThreads: 1 });
      const stream = await begun(await other.openChannel(`${uri}/large`));
      await truncate(`${folder.path}/large`, 0);
      expect(await failureOf(rest(stream))).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
      expect(await text(await other.openChannel(`${uri}/small`))).toBe("small");
      expect(await other.setupEndpointRef(env.address, "endpoint-verifier")).toBeDefined();
      await expect.poll(() => openBelow(folder)).toEqual([]);
    }));

  test("of a process that is killed on the way fails, never ends", async () => {
    await using folder = await Folder.create();
    await truncate(await folder.file("large", ""), LARGE_BYTES);
    await using child = new Child("file-main", [folder.path]);
    const uri = (await child.says()) as string;
    await using env = await RpcEnv.create({ numThreads: 1 });
    const stream = await begun(await env.openChannel(`${uri}/large`));
    child.signal("SIGKILL");
    await child.exited;
    expect(await failureOf(rest(stream))).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
    expect(await failureOf(env.openChannel(`${uri}/large`).then(rest))).toMatchObject({ code: "ERR_RPC_CONNECT" });
  });

  test("when its reader's environment shuts down, ends with that, begun or waiting", () =>
    withLarge(async (uri) => {
      const other = await RpcEnv.create({ numThreads: 1 });
      const streams = await Promise.all(Array.from({ length: 20 }, () => other.openChannel(`${uri}/large`)));
      const [first] = streams;
      await begun(first as Readable);
      const failures = streams.map((stream) => failureOf(rest(stream)));
      await other.shutdown();
      for (const failure of failures) expect(await failure).toMatchObject({ code: "ERR_RPC_ENV_STOPPED" });
      for (const late of [other.openChannel(`${uri}/small`), other.fileServer.addFile("a")]) {
        expect(await failureOf(late)).toMatchObject({ code: "ERR_RPC_ENV_STOPPED" });
      }
    }));
});

describe("readers of all kinds", () => {
  test("a slow one holds the other side up, and not the memory of either", () =>
    withLarge(async (uri) => {
      await using other = await RpcEnv.create({ numThreads: 1 });
      const stream = await begun(await other.openChannel(`${uri}/large`));
      const beforeBytes = process.memoryUsage.rss();
      let growthBytes = 0;
      const read = async (from: Readable): Promise<number> => {
        let bytes = 0;
        for await (const chunk of from) {
          bytes += (chunk as Buffer).length;
          growthBytes = Math.max(growthBytes, process.memoryUsage.rss() - beforeBytes);
        }
        return bytes;
      };
      // While another one gets the whole file, this one takes nothing.
      expect(await read(await other.openChannel(`${uri}/large`))).toBe(SLOW_BYTES);
      const bytes = await read(stream);
      console.log(
        `${SLOW_BYTES / MIB} MiB to a slow reader: RSS grew by ${(growthBytes / MIB).toFixed(1)} MiB at most`,
      );
      expect(bytes).toBe(SLOW_BYTES - 1);
      expect(growthBytes).toBeLessThan(64 * MIB);
    }, SLOW_BYTES));

  test.each([
    [{}, 8],
    [{ "files.io.numConnectionsPerPeer": 1 }, 1],
    [{ "spark.rpc.io.numConnectionsPerPeer": 3 }, 3],
  ])("one that stands still holds up no other: %j, that is %i at once", (conf, most) =>
    withLarge(async (uri, folder) => {
      await using other = await RpcEnv.create({ numThreads: 1, conf });
      const open = () => other.openChannel(`${uri}/large`);
      const still: Readable[] = [];
      for (let n = 0; n < most; n++) {
        expect(await text(await other.openChannel(`${uri}/small`))).toBe("small");
        still.push(await begun(await open()));
      }
      // Further ones wait, in their order, until one of these has given up.
      const [first, second] = [await open(), await open()];
      await expect.poll(() => openBelow(folder)).toHaveLength(most);
      expect([first.readableLength, second.readableLength]).toEqual([0, 0]);
      still[0]?.destroy();
      expect(await rest(first)).toBe(LARGE_BYTES);
      expect(await rest(second)).toBe(LARGE_BYTES);
      if (most > 1) expect(await rest(still[1] as Readable)).toBe(LARGE_BYTES - 1);
      for (const stream of still) stream.destroy();
      await expect.poll(() => openBelow(folder)).toEqual([]);
    }),
  );

  test("one that gives up ends its connection at once, whenever it does, and leaves nothing open", async () => {
    const socketsBefore = sockets();
    await withLarge(async (uri, folder) => {
      await using other = await RpcEnv.create({ numThreads: 1 });
      const connected = sockets();
      for (let round = 0; round < 3; round++) {
        const unborn = await other.openChannel(`${uri}/large`);
        unborn.destroy();
        const early = await other.openChannel(`${uri}/large`);
        await setImmediate();
        early.destroy();
        const late = await begun(await other.openChannel(`${uri}/large`));
        const failure = rest(late).catch((error: unknown) => error);
        late.destroy(new Error("enough"));
        expect(await failure).toMatchObject({ message: "enough" });
        await expect.poll(() => openBelow(folder)).toEqual([]);
      }
      // At most one connection is left, for the next: two ends of it.
      await expect.poll(sockets).toBeLessThanOrEqual(connected + 2);
      expect(await text(await other.openChannel(`${uri}/small`))).toBe("small");
    });
    await expect.poll(sockets).toBe(socketsBefore);
  });

  test("a hundred at once get their files, each the right one, over eight connections", () =>
    withLarge(async (uri, folder) => {
      const names = Array.from({ length: 100 }, (_, n) => `file ${n}`);
      for (const name of names) await folder.file(name, name.repeat(10_000));
      await using other = await RpcEnv.create({ numThreads: 1 });
      const before = sockets();
      let most = 0;
      const read = async (name: string): Promise<void> => {
        expect(await text(await other.openChannel(`${uri}/${encodeURIComponent(name)}`))).toBe(name.repeat(10_000));
        most = Math.max(most, sockets() - before);
      };
      await Promise.all(names.map(read));
      expect(most).toBe(16);
    }));

  test("one that stands still is not taken for dead, but for slow once it takes nothing for too long", async () => {
    await using folder = await Folder.create();
    // Long before that, everybody who answers nothing is dead.
    await using env = await server({ conf: { ...QUICK_CONF, "rpc.liveness.interval": "20ms" } });
    await truncate(await folder.file("large", ""), LARGE_BYTES);
    await using other = await RpcEnv.create({ numThreads: 1 });
    const uri = await env.fileServer.addFile(`${folder.path}/large`);
    const stream = await begun(await other.openChannel(uri));
    const startedMs = performance.now();
    await expect.poll(() => openBelow(folder), { timeout: 20 * DEAD_MS }).toEqual([]);
    if (!FULL) expect(performance.now() - startedMs).toBeGreaterThan(DEAD_MS * 0.8);
    expect(await failureOf(rest(stream))).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
  });

  test("nobody is told of their connections: they lead to no peer", () =>
    withLarge(async (uri, _folder, env) => {
      await using other = await server();
      const told = [new Told(env), new Told(other)];
      expect(await text(await other.openChannel(`${uri}/small`))).toBe("small");
      const stream = await begun(await other.openChannel(`${uri}/large`));
      expect([env.stats().peers, other.stats().peers]).toEqual([[], []]);
      stream.destroy();
      await expect.poll(() => told.flatMap(({ events }) => events)).toEqual([]);
    }));
});

test("a peer that answers something else than a file is an error", async () => {
  const liar = createServer((socket) => socket.on("error", () => {}).end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  liar.listen(0, "127.0.0.1");
  await once(liar, "listening");
  try {
    await using env = await RpcEnv.create({ numThreads: 1 });
    const { port } = liar.address() as AddressInfo;
    const error = await failureOf(env.openChannel(`ringpost://127.0.0.1:${port}/files/a`).then(text));
    expect(error.code).toMatch(/^ERR_RPC_(PROTOCOL|CONNECTION_LOST)$/);
  } finally {
    liar.close();
  }
});
