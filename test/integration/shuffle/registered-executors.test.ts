/** Who is registered, and that it is there after a restart: a real LevelDB, in Spark's format, whole and damaged. */
import { mkdir, readdir, realpath, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ClassicLevel } from "classic-level";
import { describe, expect, it } from "vitest";
import { ExternalShuffleService, RegisteredExecutors } from "../../../dist/src/blocks/index.js";
import {
  formatInfo,
  formatKey,
  parseInfo,
  parseKey,
  RegisteredExecutorsDb,
} from "../../../dist/src/blocks/registered-executors-db.js";
import { ShuffleData, SORT_MANAGER, type TemporaryDirectory, temporaryDirectory } from "../../fixtures/shuffle-data.js";
import { ShufflePeer } from "../../fixtures/shuffle-peer.js";
import { failureOf } from "../../fixtures/transport.js";

/** As many open at once as asked for. */
async function pairs(database: ClassicLevel): Promise<[string, string][]> {
  return (await database.iterator().all()) as [string, string][];
}

describe("the format of the store", () => {
  it("[net ExternalShuffleBlockResolverSuite.jsonSerializationOfExecutorRegistration] is Spark's, round trip and as it stands in old stores", () => {
    const id = { appId: "foo", execId: "bar" };
    expect(formatKey(id)).toBe('AppExecShuffleInfo;{"appId":"foo","execId":"bar"}');
    expect(parseKey("db", formatKey(id))).toEqual(id);
    const info = { localDirs: ["/bippy", "/flippy"], subDirsPerLocalDir: 7, shuffleManager: SORT_MANAGER };
    expect(parseInfo("db", "key", formatInfo(info))).toEqual(info);
    expect(parseKey("db", 'AppExecShuffleInfo;{"appId":"foo", "execId":"bar"}')).toEqual(id);
    const legacy = `{"localDirs": ["/bippy", "/flippy"], "subDirsPerLocalDir": 7, "shuffleManager": "${SORT_MANAGER}"}`;
    expect(parseInfo("db", "key", legacy)).toEqual(info);
  });

  it("takes ids that are anything but plain", () => {
    for (const text of ['"', "\\", "\n", "ä☃\u{1F600}", ";{}", "__proto__"]) {
      const id = { appId: text, execId: text };
      expect(parseKey("db", formatKey(id))).toEqual(id);
    }
  });

  it("stands in the file under Spark's keys, with the version beside it", async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, "db");
    const db = await RegisteredExecutorsDb.open(file);
    const info = { localDirs: ["/a"], subDirsPerLocalDir: 64, shuffleManager: "sort" };
    await db.put({ appId: "app", execId: "1", info });
    await db.put({ appId: "app", execId: "2", info });
    await db.remove([{ appId: "app", execId: "1" }]);
    await db.close();
    const raw = new ClassicLevel(file);
    expect(await pairs(raw)).toEqual([
      [
        'AppExecShuffleInfo;{"appId":"app","execId":"2"}',
        '{"localDirs":["/a"],"subDirsPerLocalDir":64,"shuffleManager":"sort"}',
      ],
      ["StoreVersion", '{"major":1,"minor":0}'],
    ]);
    await raw.close();
  });
});

describe("a store that cannot be used", () => {
  async function storeWith(
    directory: TemporaryDirectory,
    entries: readonly (readonly [string, string])[],
  ): Promise<string> {
    const file = join(directory.path, "db");
    const raw = new ClassicLevel(file);
    for (const [key, value] of entries) await raw.put(key, value);
    await raw.close();
    return file;
  }

  it.each([
    [
      "another major version",
      "StoreVersion",
      '{"major":2,"minor":0}',
      /version 2\.0, incompatible with current version 1\.0/,
    ],
    ["a version that is none", "StoreVersion", "x", /cannot be used: its version is "x".*move it away/],
    ["a key that names nobody", "AppExecShuffleInfo;{}", "{}", /names no executor.*move it away/],
    ["a value that says nothing", 'AppExecShuffleInfo;{"appId":"a","execId":"1"}', "[]", /says nothing of an executor/],
  ])("%s", async (_why, key, value, text) => {
    await using directory = await temporaryDirectory();
    const file = await storeWith(directory, [[key, value]]);
    const error = await failureOf(RegisteredExecutors.open({ file, roots: null }));
    expect(error).toMatchObject({ code: "ERR_RPC_INVALID_ARGUMENT" });
    expect(error.message).toContain(file);
    expect(error.message).toMatch(text);
    // Nothing is held: who follows the advice can go on at once.
    await rm(file, { recursive: true });
    await (await RegisteredExecutors.open({ file, roots: null })).close();
  });

  it("an entry that says what no executor has, by its name", async () => {
    await using directory = await temporaryDirectory();
    const key = 'AppExecShuffleInfo;{"appId":"a","execId":"1"}';
    for (const localDirs of [["tmp"], ["/a\0"], Array.from({ length: 65 }, () => "/tmp"), [`/${"x".repeat(5_000)}`]]) {
      const value = JSON.stringify({ localDirs, subDirsPerLocalDir: 64, shuffleManager: "" });
      const file = await storeWith(directory, [[key, value]]);
      const error = await failureOf(ExternalShuffleService.start({ port: 0, registeredExecutorsFile: file }));
      expect(error).toMatchObject({ code: "ERR_RPC_INVALID_ARGUMENT" });
      expect(error.message).toContain(`${file} cannot be used: the value of ${JSON.stringify(key)}: `);
      expect(error.message).toMatch(/local director(y|ies).*move it away/);
      await rm(file, { recursive: true });
    }
  });

  it("one that is damaged, or is a file, or cannot be made", async () => {
    await using directory = await temporaryDirectory();
    const file = await storeWith(directory, [["a", "b"]]);
    for (const name of await readdir(file))
      if (name.startsWith("MANIFEST")) await writeFile(join(file, name), "garbage");
    const plain = join(directory.path, "plain");
    await writeFile(plain, "x");
    for (const path of [file, plain, join(plain, "below")]) {
      const error = await failureOf(ExternalShuffleService.start({ port: 0, registeredExecutorsFile: path }));
      expect(error).toMatchObject({ code: "ERR_RPC_INVALID_ARGUMENT" });
      expect(error.message).toMatch(/the store of registered executors .* cannot be used: .*move it away/);
      expect(error.message).toContain(path);
    }
  });

  it("one that another service has open", async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, "db");
    await using _service = await ExternalShuffleService.start({ port: 0, registeredExecutorsFile: file });
    const error = await failureOf(ExternalShuffleService.start({ port: 0, registeredExecutorsFile: file }));
    expect(error.message).toMatch(/is open in another process: end that one/);
  });

  it("other minor versions, and keys of push-merge, are left alone", async () => {
    await using directory = await temporaryDirectory();
    const entries = [
      ["StoreVersion", '{"major":1,"minor":3}'],
      ["AppAttemptShuffleMergeFinalized;x", "{}"],
      ["AppAttemptPathInfo;x", "{}"],
    ] as const;
    const file = await storeWith(directory, entries);
    await (await RegisteredExecutors.open({ file, roots: null })).close();
    const raw = new ClassicLevel(file);
    expect(await raw.get("AppAttemptPathInfo;x")).toBe("{}");
    await raw.close();
  });
});

describe("registrations", () => {
  const BOUNDS = { executorsPerAppMax: 2, executorsMax: 3, bytesMax: 100_000 };

  it("are there after the store is opened again, and those of removed applications are not", async () => {
    await using directory = await temporaryDirectory();
    await using data = await ShuffleData.create();
    const file = join(directory.path, "db");
    const first = await RegisteredExecutors.open({ file, roots: null });
    await first.register("app", "1", data.info());
    await first.register("app", "1", data.info("other"));
    await first.register("gone", "1", { ...data.info(), localDirs: [directory.path] });
    expect(await first.removeApplication("gone")).toHaveLength(1);
    expect(await first.removeApplication("gone")).toHaveLength(0);
    await first.close();
    const second = await RegisteredExecutors.open({ file, roots: null });
    expect(second.size).toBe(1);
    expect(second.get("app", "1").info).toEqual(data.info("other"));
    expect(() => second.get("gone", "1")).toThrow(/Executor is not registered \(appId=gone, execId=1\)/);
    await second.close();
  });

  it("are bounded, for an application, in all, and in bytes; one of the same name replaces and does not count", async () => {
    await using data = await ShuffleData.create();
    await using other = await ShuffleData.create();
    const executors = await RegisteredExecutors.open({ file: null, roots: null }, BOUNDS);
    for (const execId of ["1", "2", "2", "1"]) await executors.register("app", execId, data.info());
    const third = await failureOf(executors.register("app", "3", data.info()));
    expect(third).toMatchObject({ code: "ERR_RPC_INBOX_FULL" });
    expect(third.message).toMatch(/too many executors of app are registered: count=2, max=2/);
    await executors.register("b", "1", other.info());
    expect((await failureOf(executors.register("b", "2", other.info()))).message).toMatch(/too many.*count=3, max=3/);
    await executors.removeApplication("app");
    await executors.register("b", "2", other.info());
    expect(executors.size).toBe(2);

    const long = { ...other.info(), shuffleManager: "m".repeat(16_000) };
    const small = await RegisteredExecutors.open({ file: null, roots: null }, { ...BOUNDS, bytesMax: 20_000 });
    await small.register("b", "1", long);
    await small.register("b", "1", long);
    expect((await failureOf(small.register("b", "2", long))).message).toMatch(/too many bytes: bytes=\d+, max=20000/);
  });

  it.each([
    ["a relative path", { localDirs: ["tmp"] }, /is an absolute path: localDir="tmp"/],
    ["a path with NUL", { localDirs: ["/tmp\0/x"] }, /is an absolute path/],
    ["a directory that is not there", { localDirs: ["/nonexistent/x"] }, /cannot be used: .*ENOENT/],
    ["no subdirectories", { subDirsPerLocalDir: 0 }, /subDirsPerLocalDir must be 1 to 65536: got 0/],
    ["too many subdirectories", { subDirsPerLocalDir: 2 ** 31 - 1 }, /got 2147483647/],
    ["too many directories", { localDirs: Array.from({ length: 65 }, () => "/tmp") }, /count=65, max=64/],
    ["a path that is too long", { localDirs: [`/${"x".repeat(5_000)}`] }, /too long: bytes=5001, max=4096/],
    ["a manager that is too long", { shuffleManager: "m".repeat(20_000) }, /shuffleManager must have 0 to 16384 bytes/],
  ])("of %s are refused", async (_why, change, text) => {
    await using data = await ShuffleData.create();
    const executors = await RegisteredExecutors.open({ file: null, roots: null });
    const error = await failureOf(executors.register("app", "1", { ...data.info(), ...change }));
    expect(error).toMatchObject({ code: "ERR_RPC_INVALID_ARGUMENT" });
    expect(error.message).toMatch(text);
    expect(executors.size).toBe(0);
  });

  it("of ids that are empty or too long are refused", async () => {
    await using data = await ShuffleData.create();
    const executors = await RegisteredExecutors.open({ file: null, roots: null });
    for (const [appId, execId] of [
      ["", "1"],
      ["app", ""],
      ["a".repeat(2_000), "1"],
    ] as const) {
      expect(await failureOf(executors.register(appId, execId, data.info()))).toMatchObject({
        code: "ERR_RPC_INVALID_ARGUMENT",
      });
    }
  });

  it("have to lie below a root, where there are roots, whatever links say", async () => {
    await using allowed = await temporaryDirectory();
    await using foreign = await temporaryDirectory();
    const roots = [await realpath(allowed.path)];
    const executors = await RegisteredExecutors.open({ file: null, roots });
    await mkdir(join(allowed.path, "own"));
    await symlink(foreign.path, join(allowed.path, "link"));
    const info = { subDirsPerLocalDir: 64, shuffleManager: "" };
    await executors.register("app", "1", { ...info, localDirs: [join(allowed.path, "own")] });
    const outside = [foreign.path, join(allowed.path, "link"), allowed.path, `${allowed.path}/own/../..`, "/"];
    for (const dir of outside) {
      const error = await failureOf(executors.register("app", "2", { ...info, localDirs: [dir] }));
      expect(error.message).toMatch(/is not below one of the service's/);
      expect(error).toMatchObject({ code: "ERR_RPC_FORBIDDEN" });
    }
    expect(executors.size).toBe(1);
  });

  it("of a directory that another application has are refused, also after a restart without some of them", async () => {
    await using directory = await temporaryDirectory();
    await using data = await ShuffleData.create(3);
    const file = join(directory.path, "db");
    const [one = "", two = "", three = ""] = data.localDirs;
    await symlink(three, join(directory.path, "to three"));
    const first = await RegisteredExecutors.open({ file, roots: null });
    await first.register("a", "1", { ...data.info(), localDirs: [one, two, join(directory.path, "to three")] });
    await first.close();

    async function expectTaken(executors: RegisteredExecutors): Promise<void> {
      for (const taken of [one, `${one}//../blockmgr-0/`, two, three, join(directory.path, "link")]) {
        const error = await failureOf(executors.register("b", "1", { ...data.info(), localDirs: [taken] }));
        expect(error).toMatchObject({ code: "ERR_RPC_FORBIDDEN" });
        expect(error.message).toMatch(/belongs to another application/);
      }
    }
    await symlink(one, join(directory.path, "link"));
    // All are there; or the first one is not, or the one that a link leads to, until the service has started.
    for (const missing of [null, one, three]) {
      if (missing !== null) await rename(missing, `${missing}.unmounted`);
      const executors = await RegisteredExecutors.open({ file, roots: null });
      if (missing !== null) await rename(`${missing}.unmounted`, missing);
      await expectTaken(executors);
      // Its own application may.
      await executors.register("a", "2", data.info());
      await executors.close();
    }
    // Anybody may, once that has gone.
    const executors = await RegisteredExecutors.open({ file, roots: null });
    await executors.removeApplication("a");
    await executors.register("b", "1", data.info());
    await executors.close();
  });

  it("of a directory above others' keep nobody out; of the root of the file system are refused", async () => {
    await using data = await ShuffleData.create();
    const executors = await RegisteredExecutors.open({ file: null, roots: null });
    const [dir = ""] = data.localDirs;
    await mkdir(join(dir, "00"));
    await executors.register("above", "1", { ...data.info(), localDirs: [dirname(dir)] });
    await executors.register("a", "1", data.info());
    await executors.register("below", "1", { ...data.info(), localDirs: [join(dir, "00")] });
    const error = await failureOf(executors.register("above", "2", { ...data.info(), localDirs: ["//"] }));
    expect(error).toMatchObject({ code: "ERR_RPC_FORBIDDEN" });
    expect(error.message).toMatch(/the root of the file system is no local directory/);
    await executors.close();
  });

  it("that fail hold no directory", async () => {
    await using data = await ShuffleData.create();
    const executors = await RegisteredExecutors.open({ file: null, roots: null });
    const [dir = ""] = data.localDirs;
    await failureOf(executors.register("a", "1", { ...data.info(), localDirs: [dir, "/nonexistent/x"] }));
    await executors.register("b", "1", { ...data.info(), localDirs: [dir] });
    // Nor does one that was replaced.
    await executors.register("b", "1", { ...data.info(), localDirs: [] });
    await executors.register("a", "1", { ...data.info(), localDirs: [dir] });
    await executors.close();
  });

  it("count with the directories that links in them lead to", async () => {
    await using directory = await temporaryDirectory();
    const long = join(directory.path, "x".repeat(200));
    const executors = await RegisteredExecutors.open({ file: null, roots: null }, { ...BOUNDS, bytesMax: 1_000 });
    const info = { subDirsPerLocalDir: 64, shuffleManager: "" };
    for (let count = 0; count < 10; count++) {
      await mkdir(join(long, String(count)), { recursive: true });
      await symlink(join(long, String(count)), join(directory.path, String(count)));
    }
    const localDirs = Array.from({ length: 10 }, (_, index) => join(directory.path, String(index)));
    const error = await failureOf(executors.register("a", "1", { ...info, localDirs }));
    expect(error).toMatchObject({ code: "ERR_RPC_INBOX_FULL" });
    expect(error.message).toMatch(/local directories take too many bytes: bytes=\d{4}, max=1000/);
    await executors.register("a", "1", { ...info, localDirs: localDirs.slice(0, 2) });
    await executors.register("a", "2", { ...info, localDirs: localDirs.slice(0, 2) });
    await executors.close();
  });

  it("and removals are refused when they are closed, not lost", async () => {
    await using directory = await temporaryDirectory();
    await using data = await ShuffleData.create();
    const file = join(directory.path, "db");
    const service = await ExternalShuffleService.start({ port: 0, registeredExecutorsFile: file });
    using peer = await ShufflePeer.connect(service.port);
    await peer.register("app", "1", data.info());
    await service.close();
    expect(await failureOf(service.applicationRemoved("app", true))).toMatchObject({ code: "ERR_RPC_ENV_STOPPED" });
    expect(() => service.executorRemoved("app", "1")).toThrow(/closed/);
    const executors = await RegisteredExecutors.open({ file, roots: null });
    const asked = executors.removeApplication("other");
    const closed = executors.close();
    expect(await failureOf(executors.register("app", "2", data.info()))).toMatchObject({ code: "ERR_RPC_ENV_STOPPED" });
    await Promise.all([asked, closed, executors.close()]);
    expect(executors.size).toBe(1);
  });
});
