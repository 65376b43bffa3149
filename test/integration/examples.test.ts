/**
 * Goal: the examples run, and do what they say.
 * Method: each is run in a process of its own on a small folder, and its output compared with what is known of that.
 */
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { watch } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

const FILES: Readonly<Record<string, string>> = {
  "a.md": "one two two",
  "below/b.md": `${"Three ".repeat(2_500)}two`,
  "below/empty.txt": "",
  "below/large.bin": "x".repeat(3_000_000),
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ringpost-examples-"));
  await mkdir(join(folder, "below"));
  for (const [name, text] of Object.entries(FILES)) await writeFile(join(folder, name), text);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function run(example: string): Promise<{ stdout: string; stderr: string }> {
  const program = fileURLToPath(new URL(`../../build/examples/${example}/main.js`, import.meta.url));
  return promisify(execFile)(process.execPath, [program, folder], { timeout: 40_000 });
}

test("hash-folder prints the hash of every file, and heard of every byte", async () => {
  const { stdout, stderr } = await run("hash-folder");
  const lines = Object.entries(FILES).map(([name, text]) => {
    return `${createHash("sha256").update(text).digest("hex")}  ${join(folder, name)}`;
  });
  expect(stdout.trim().split("\n").sort()).toEqual(lines.sort());
  const bytes = Object.values(FILES).reduce((total, text) => total + text.length, 0);
  expect(stderr.trim()).toBe(`4 files, ${bytes} bytes`);
});

test("pipeline counts every word once", async () => {
  const { stdout, stderr } = await run("pipeline");
  expect(stdout.trim().split("\n")).toEqual(["three 2500", "two 3", "one 1", "2504 words in 2 files"]);
  expect(stderr).toBe("");
});

test("shuffle-wordcount counts over a shuffle service as in one thread, and leaves nothing behind", async () => {
  const own = await mkdtemp(join(tmpdir(), "ringpost-examples-"));
  const [words, temporary] = [join(own, "words"), join(own, "tmp")];
  try {
    await writeFile(words, "Zyzzyva ".repeat(12_345));
    await mkdir(temporary);
    const program = fileURLToPath(new URL("../../build/examples/shuffle-wordcount/main.js", import.meta.url));
    const env = { ...process.env, TMPDIR: temporary };
    const { stdout } = await promisify(execFile)(process.execPath, [program, words, folder], { timeout: 50_000, env });
    const [mapped = "", reduced = "", counted = "", ...top] = stdout.trim().split("\n");
    const bytes = /^4 mappers read \d+ files and wrote 12 blocks, (\d+) bytes$/.exec(mapped)?.[1];
    expect(mapped).toContain("read 4 files");
    expect(reduced).toBe(`3 reducers fetched them from the shuffle service, ${bytes} bytes`);
    expect(counted).toMatch(/^\d+ words, \d+ different ones: as counted in one thread$/);
    expect(top[0]).toBe("zyzzyva 12345");
    expect(await readdir(temporary)).toEqual([]);
  } finally {
    await rm(own, { recursive: true });
  }
});

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test.each([
  ["SIGTERM", "when its folder is made"],
  ["SIGTERM", "when its mappers are done"],
  ["SIGKILL", "when its folder is made"],
  ["SIGKILL", "when its mappers are done"],
] as const)("shuffle-wordcount that gets %s %s leaves no process behind, and says nothing", async (signal, when) => {
  const temporary = await mkdtemp(join(tmpdir(), "ringpost-examples-"));
  const watcher = watch(temporary);
  const made = once(watcher, "change");
  const program = fileURLToPath(new URL("../../build/examples/shuffle-wordcount/main.js", import.meta.url));
  const env = { ...process.env, TMPDIR: temporary };
  // A group of its own: what is left of it can be seen.
  const main = spawn(process.execPath, [program, folder], { detached: true, env, stdio: ["ignore", "pipe", "pipe"] });
  const group = -(main.pid ?? 0);
  const said = text(main.stderr);
  try {
    const ended = once(main, "exit");
    await (when === "when its folder is made" ? made : once(main.stdout.setEncoding("utf8"), "data"));
    main.kill(signal);
    expect(await ended).toEqual(signal === "SIGKILL" ? [null, signal] : [128 + constants.signals[signal], null]);
    expect(await said).toBe("");
    await expect.poll(() => isThere(group), { timeout: 20_000 }).toBe(false);
    if (signal !== "SIGKILL") expect(await readdir(temporary)).toEqual([]);
  } finally {
    watcher.close();
    await rm(temporary, { recursive: true });
  }
});

test.each(["hash-folder", "pipeline", "shuffle-wordcount"])(
  "%s says in one line what is not there",
  async (example) => {
    const program = fileURLToPath(new URL(`../../build/examples/${example}/main.js`, import.meta.url));
    const missing = join(folder, "missing");
    const failure = await promisify(execFile)(process.execPath, [program, missing]).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(/^[^\n]*\/missing\b[^\n]*\n$/),
    });
  },
);

test("two-processes counts in the server's threads what the client asks for; a server that has gone is an error", async () => {
  const program = (name: string): string =>
    fileURLToPath(new URL(`../../build/examples/two-processes/${name}.js`, import.meta.url));
  const server = spawn(process.execPath, [program("server")], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(server, "exit");
  let uri = "";
  try {
    for await (const text of server.stdout.setEncoding("utf8").iterator({ destroyOnReturn: false })) {
      uri += text;
      if (uri.endsWith("\n")) break;
    }
    const client = (): Promise<{ stdout: string; stderr: string }> =>
      promisify(execFile)(process.execPath, [program("client"), uri.trim()], { timeout: 40_000 });
    expect(await client()).toEqual({ stdout: "78498 primes\n", stderr: "" });
    server.kill("SIGTERM");
    expect(await ended).toEqual([0, null]);
    const failure = await client().catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 1, stdout: "", stderr: expect.stringMatching(/^ERR_RPC_CONNECT .*\n$/) });
  } finally {
    server.kill("SIGKILL");
  }
});
