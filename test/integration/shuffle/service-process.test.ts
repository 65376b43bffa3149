/**
 * `ringpost shuffle-service` as a process: what it says, that it comes back with all it knew after it was killed, and that it
 * ends when told.
 */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { describe, expect, it } from "vitest";
import { ExternalBlockStoreClient } from "../../../dist/src/blocks/index.js";
import { RunningCommand, ringpost } from "../../fixtures/command.js";
import { ShuffleData, temporaryDirectory } from "../../fixtures/shuffle-data.js";
import { failureOf } from "../../fixtures/transport.js";

async function portOf(service: RunningCommand): Promise<number> {
  return Number((await service.says(/^127\.0\.0\.1:(\d+)\n/))[1]);
}

function fetched(client: ExternalBlockStoreClient, port: number, blockId: string): Promise<string> {
  return client.fetchBlock("127.0.0.1", port, "exec-0", blockId).then(async (block) => {
    const digest = createHash("sha256").update(await block.bytes());
    block.release();
    return digest.digest("hex");
  });
}

/** Nobody else on this machine makes it meanwhile. */
const NOWHERE = join(tmpdir(), `nowhere-${randomUUID()}`);

describe("ringpost shuffle-service", () => {
  it("killed right after its answer and started again on its port, knows its executors, and fetches go on", async () => {
    await using directory = await temporaryDirectory();
    await using data = await ShuffleData.create();
    const blocks = Array.from({ length: 20 }, (_, index) => randomBytes(100_000 + index));
    await data.writeShuffle(0, 0, blocks);
    const digests = blocks.map((block) => createHash("sha256").update(block).digest("hex"));
    const file = join(directory.path, "executors");

    let service = new RunningCommand("shuffle-service", "--port", "0", "--db", file);
    const port = await portOf(service);
    const conf = { "shuffle.io.maxRetries": 20, "shuffle.io.retryWait": "250ms" };
    await using client = new ExternalBlockStoreClient({ conf }).init("app");
    for (let round = 0; round < 3; round++) {
      const info = data.info(`round ${round}`);
      await client.registerWithShuffleServer("127.0.0.1", port, "exec-0", info);
      expect((await service.stop("SIGKILL"))[1]).toBe("SIGKILL");
      // Asked of nobody: the fetches are tried again until somebody is there.
      const waiting = blocks.map((_, index) => fetched(client, port, `shuffle_0_0_${index}`));
      service = new RunningCommand("shuffle-service", "--port", String(port), "--db", file);
      expect(await portOf(service)).toBe(port);
      expect(await Promise.all(waiting)).toEqual(digests);
      await service.says(/hands out shuffle files; 1 executors? known/, "stderr");
    }
    // Told to end, it does, and leaves the store to the next one.
    expect(await service.stop("SIGTERM")).toEqual([0, null]);
    const last = new RunningCommand("shuffle-service", "--port", "0", "--db", file, "--json");
    const [line = "{}"] = await last.says(/^\{.*\}\n/);
    const said = JSON.parse(line);
    expect(said).toEqual({ host: "127.0.0.1", port: expect.any(Number), pid: last.child.pid });
    expect(await fetched(client, said.port, "shuffle_0_0_3")).toBe(digests[3]);
    expect(await last.stop("SIGINT")).toEqual([0, null]);
  });

  it("without a store has forgotten its executors", async () => {
    await using data = await ShuffleData.create();
    await data.writeShuffle(0, 0, ["x"]);
    await using client = new ExternalBlockStoreClient({ conf: { "shuffle.io.retryWait": "100ms" } }).init("app");
    const first = new RunningCommand("shuffle-service", "--port", "0");
    await client.registerWithShuffleServer("127.0.0.1", await portOf(first), "exec-0", data.info());
    await first.stop("SIGKILL");
    const second = new RunningCommand("shuffle-service", "--port", "0");
    const error = await failureOf(fetched(client, await portOf(second), "shuffle_0_0_0"));
    expect(error.message).toMatch(/not registered/);
    await second.stop();
  });

  it("lets applications in by their own secrets, below their own directories", async () => {
    await using directory = await temporaryDirectory();
    await using data = await ShuffleData.create(1, 64, directory.path);
    await using outside = await ShuffleData.create(1, 64);
    await data.writeShuffle(0, 0, ["x"]);
    const secrets = ["a", "b"].map((appId) => ({ appId, secret: randomBytes(32).toString("hex") }));
    const flags: string[] = [];
    for (const { appId, secret } of secrets) {
      const path = join(directory.path, `${appId}.secret`);
      await writeFile(path, `${secret}\n`, { mode: 0o600 });
      flags.push("--app-secret", `${appId}=${path}`);
    }
    // Relative roots are of the working directory.
    const root = relative(process.cwd(), directory.path);
    const service = new RunningCommand("shuffle-service", "--port", "0", "--local-dir-root", root, ...flags);
    const port = await portOf(service);
    const [a, b] = secrets.map(({ appId, secret }) => new ExternalBlockStoreClient({ secret }).init(appId));
    if (a === undefined || b === undefined) throw new Error("two applications");
    await a.registerWithShuffleServer("127.0.0.1", port, "exec-0", data.info());
    expect(await fetched(a, port, "shuffle_0_0_0")).toBe(createHash("sha256").update("x").digest("hex"));
    const foreign = await failureOf(b.registerWithShuffleServer("127.0.0.1", port, "exec-0", data.info()));
    expect(foreign.message).toMatch(/SecurityException.*belongs to another application/);
    const beyond = await failureOf(b.registerWithShuffleServer("127.0.0.1", port, "exec-0", outside.info()));
    expect(beyond.message).toMatch(/SecurityException.*not below one of the service's/);
    expect((await failureOf(fetched(b, port, "shuffle_0_0_0"))).message).toMatch(/not registered/);
    const stranger = new ExternalBlockStoreClient({ secret: secrets[0]?.secret ?? "" }).init("b");
    const refused = await failureOf(stranger.registerWithShuffleServer("127.0.0.1", port, "exec-0", data.info()));
    expect(refused).toMatchObject({ code: "ERR_RPC_AUTH" });
    for (const client of [a, b, stranger]) client.close();
    expect(await service.stop()).toEqual([0, null]);
  });

  it.each([
    [
      "an application without a file",
      ["--app-secret", "a"],
      /--app-secret is an application's id, = and a file, not a/,
    ],
    [
      "a root that is not there",
      ["--local-dir-root", NOWHERE],
      /--local-dir-root .*nowhere.* is no directory that is there/,
    ],
    ["to forget somebody without a store", ["--forget", "a"], /--forget needs --db/],
    ["an empty root", ["--local-dir-root", ""], /--local-dir-root is empty/],
    ["a port that is none", ["--port", "70000"], /--port is an integer from 0 to 65535/],
  ])("refuses %s as wrong use", async (_what, flags, text) => {
    const { exitCode, stdout, stderr } = await ringpost("shuffle-service", ...flags);
    expect(stderr).toMatch(text);
    expect([exitCode, stdout]).toEqual([2, ""]);
  });

  it("refuses a secret of an application that is too short, before anybody comes", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "a.secret");
    await writeFile(path, "x".repeat(31), { mode: 0o600 });
    const { exitCode, stderr } = await ringpost("shuffle-service", "--port", "0", "--app-secret", `a=${path}`);
    expect(stderr).toContain(`--app-secret a=${path} is too short to be safe: bytes=31, min=32`);
    expect(exitCode).toBe(2);
  });

  it("--forget takes an application out of a store, which no service may have open; its directories are free then", async () => {
    await using directory = await temporaryDirectory();
    await using data = await ShuffleData.create();
    const file = join(directory.path, "executors");
    const service = new RunningCommand("shuffle-service", "--port", "0", "--db", file);
    const port = await portOf(service);
    await using a = new ExternalBlockStoreClient().init("a");
    for (const execId of ["1", "2"]) await a.registerWithShuffleServer("127.0.0.1", port, execId, data.info());
    const busy = await ringpost("shuffle-service", "--db", file, "--forget", "a");
    expect(busy.stderr).toMatch(/--db: .*is open in another process: end that one/);
    expect(busy.exitCode).toBe(1);
    const second = await ringpost("shuffle-service", "--port", "0", "--db", file);
    expect(second.stderr).toMatch(/--db: .*is open in another process: end that one/);
    expect(second.exitCode).toBe(1);
    await service.stop();
    const done = await ringpost("shuffle-service", "--db", file, "--forget", "a", "--forget", "unknown");
    expect([done.exitCode, done.stdout]).toEqual([0, "a: 2 executors forgotten\nunknown: 0 executors forgotten\n"]);
    const again = new RunningCommand("shuffle-service", "--port", "0", "--db", file);
    await using b = new ExternalBlockStoreClient().init("b");
    await b.registerWithShuffleServer("127.0.0.1", await portOf(again), "1", data.info());
    await again.stop();
  });

  it("--forget refuses a store that is not there, and makes none", async () => {
    await using directory = await temporaryDirectory();
    for (const file of [join(directory.path, "nosuch.db"), directory.path]) {
      const { exitCode, stdout, stderr } = await ringpost("shuffle-service", "--db", file, "--forget", "a");
      expect(stderr).toBe(`ringpost shuffle-service: --db ${file}: there is no store of executors\n`);
      expect([exitCode, stdout]).toEqual([1, ""]);
    }
    expect(await readdir(directory.path)).toEqual([]);
  });

  it("refuses a store that is damaged, with its path and what to do", async () => {
    await using directory = await temporaryDirectory();
    await writeFile(join(directory.path, "CURRENT"), "garbage\n");
    const { exitCode, stderr } = await ringpost("shuffle-service", "--port", "0", "--db", directory.path);
    expect(stderr).toContain(`the store of registered executors ${directory.path} cannot be used`);
    expect(stderr).toMatch(/move it away and start again/);
    expect(stderr).not.toContain("--help");
    expect(exitCode).toBe(1);
  });

  it("refuses to listen to everybody", async () => {
    const { exitCode, stderr } = await ringpost("shuffle-service", "--port", "0", "--host", "0.0.0.0");
    expect(stderr).toMatch(/ERR_RPC_INSECURE_BIND.*--secret-file/);
    expect(exitCode).toBe(1);
  });
});
