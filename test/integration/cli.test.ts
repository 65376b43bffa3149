/**
 * Goal: the command does what its help says, and its exit code and streams can be relied on by scripts.
 * Method: the built command as a child process, as a shell starts it.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cliModule, ringpost } from "../fixtures/command.js";

const ESCAPE = "\u001b";

let folder: string;
let tree: string;
const contents: Record<string, Buffer> = {
  "a.txt": Buffer.from("some text, some text, some text. ".repeat(500)),
  "empty.txt": Buffer.alloc(0),
  [join("deep", "er", "b.json")]: Buffer.from(JSON.stringify(Array.from({ length: 2_000 }, (_, id) => ({ id })))),
  [join("deep", "large.bin")]: Buffer.from(Array.from({ length: 200_000 }, (_, n) => (n * n) % 251)),
};

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ringpost-cli-"));
  tree = join(folder, "tree");
  mkdirSync(join(tree, "deep", "er"), { recursive: true });
  for (const [name, content] of Object.entries(contents)) writeFileSync(join(tree, name), content);
  symlinkSync(join(tree, "a.txt"), join(tree, "link.txt"));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("demo", () => {
  test("--out writes files that decompress to the originals, under their relative paths", async () => {
    const out = join(folder, "out");
    const { exitCode, stdout, stderr } = await ringpost("demo", tree, "--out", out, "--threads", "2", "--rounds", "1");
    expect(stderr).toBe("");
    expect(exitCode).toBe(0);
    expect(stdout).toContain("4 files");
    expect(stdout).toContain("Skipped: 1 symbolic links");
    const written = readdirSync(out, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".br"));
    expect(written.sort()).toEqual(
      Object.keys(contents)
        .map((name) => `${name}.br`)
        .sort(),
    );
    for (const [name, content] of Object.entries(contents)) {
      expect(brotliDecompressSync(readFileSync(join(out, `${name}.br`))).equals(content)).toBe(true);
    }
  });

  test("without --out it writes nothing, and without a terminal it moves no cursor", async () => {
    const before = readdirSync(tree, { recursive: true });
    const { exitCode, stdout, stderr } = await ringpost("demo", tree, "--rounds", "2");
    expect(exitCode).toBe(0);
    expect(stdout + stderr).not.toContain(ESCAPE);
    expect(stdout + stderr).not.toContain("\r");
    expect(readdirSync(tree, { recursive: true })).toEqual(before);
  });

  test("--json puts one document on stdout and the text on stderr", async () => {
    const { exitCode, stdout, stderr } = await ringpost("demo", tree, "--json", "--rounds", "2", "--quality", "1");
    expect(exitCode).toBe(0);
    expect(stderr).toContain("Speed-up");
    const outcome = JSON.parse(stdout);
    // Four small files rarely gain anything; whichever it was is said.
    expect(stderr.includes("Below 1x")).toBe(outcome.speedUp.median < 1);
    expect(outcome).toMatchObject({
      files: 4,
      verified: 4,
      failed: {},
      written: 0,
      quality: 1,
      rounds: 2,
      bytesIn: Object.values(contents).reduce((sum, content) => sum + content.length, 0),
      skipped: { symbolicLinks: 1, unreadable: 0 },
    });
  });

  test.each([
    ["a missing folder", () => join(folder, "gone"), "there is no folder"],
    ["an empty folder", () => mkdtempSync(join(folder, "empty-")), "there is no file to compress"],
    ["a file", () => join(tree, "a.txt"), "is no folder"],
  ])("%s is an error in one line, exit code 1", async (_what, path, text) => {
    const { exitCode, stdout, stderr } = await ringpost("demo", path());
    expect(exitCode).toBe(1);
    expect(stdout).toBe("");
    expect(stderr).toContain(text);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });
});

describe("usage", () => {
  test.each([
    [[], "a command is missing"],
    [["nope"], "unknown command nope"],
    [["demo", "--nope"], "Unknown option"],
    [["demo", "a", "b"], "Unused args"],
    [["demo", "--threads", "0"], "--threads is an integer from 1 to 255, not 0"],
    [["demo", "--threads", " "], "--threads is an integer from 1 to 255, not  "],
    [["bench", "--duration", "-1"], "--duration is a number from 0.01 to 3600, not -1"],
    [["demo", "--out", ""], "--out is empty"],
    [["demo", "--quality", "best"], "--quality is an integer"],
    [["bench", "--depth", "1,x"], "--depth takes integers"],
    [["bench", "--threads"], "value is missing"],
    [["tune"], "missing required args"],
    [["tune", "x.js", "--message", "{"], "--message is no JSON"],
  ])("%j is wrong use: exit code 2, a reason and a pointer to the help", async (args, text) => {
    const { exitCode, stdout, stderr } = await ringpost(...args);
    expect(exitCode).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toContain(text);
    expect(stderr).toContain("--help");
  });

  test("--help and --version answer on stdout", async () => {
    const help = await ringpost("--help");
    expect(help.exitCode).toBe(0);
    for (const name of ["demo", "serve", "ask", "send", "call", "cast", "bench", "tune"])
      expect(help.stdout).toContain(name);
    expect((await ringpost("--version")).stdout).toMatch(/^ringpost\/\d+\.\d+\.\d+/);
  });
});

describe("bench", () => {
  test("reports every depth as JSON", async () => {
    const { exitCode, stdout, stderr } = await ringpost(
      ...["bench", "--json", "--duration", "0.05", "--depth", "1,16", "--size", "64", "--cost", "5", "--threads", "2"],
    );
    expect(exitCode).toBe(0);
    expect(stderr).toContain("asks/s");
    const { threads, depths } = JSON.parse(stdout) as { threads: number; depths: Record<string, number>[] };
    expect(threads).toBe(2);
    expect(depths.map(({ depth }) => depth)).toEqual([1, 16]);
    for (const { asks, asksPerSecond, p50Ms, p99Ms, maxMs } of depths) {
      expect(asks).toBeGreaterThan(0);
      expect(asksPerSecond).toBeGreaterThan(0);
      expect(p99Ms).toBeGreaterThanOrEqual(p50Ms ?? Number.NaN);
      expect(maxMs).toBeGreaterThanOrEqual(p99Ms ?? Number.NaN);
    }
  });

  test("a threshold that no machine reaches ends with 3", async () => {
    const { exitCode, stdout } = await ringpost("bench", "--duration", "0.05", "--depth", "1", "--fail-below", "1e11");
    expect(exitCode).toBe(3);
    expect(stdout).toContain("MISSED");
  });
});

describe("tune", () => {
  const quick = ["--duration", "0.05", "--rounds", "1", "--threads-max", "2"];

  test("finds the only method of a service, prints the curve and the line to paste", async () => {
    const { exitCode, stdout } = await ringpost(
      "tune",
      cliModule("one-method.service.js"),
      "--input",
      "2000",
      ...quick,
    );
    expect(stdout).toMatch(/RpcEnv\.create\(\{ numThreads: [12] \}\)/);
    expect(stdout).toMatch(/Recommended: [12]\. \w/);
    expect(exitCode).toBe(0);
  });

  test("calls a named method with several inputs, and asks an endpoint class with a message", async () => {
    const method = ["--method", "minus", "--input", "5", "--input", "3"];
    const service = await ringpost("tune", cliModule("two-methods.service.js"), ...method, ...quick, "--json");
    expect(JSON.parse(service.stdout)).toMatchObject({ points: [{ threads: 1 }, { threads: 2 }] });
    const message = ["--message", '{"text":"hello"}'];
    const endpoint = await ringpost("tune", cliModule("echo.endpoint.js"), ...message, ...quick);
    expect(endpoint.stdout).toContain("Recommended");
    expect([service.exitCode, endpoint.exitCode]).toEqual([0, 0]);
  });

  test.each([
    ["two-methods.service.js", [], 2, "choose one: --method plus | minus"],
    ["echo.endpoint.js", [], 2, "--message <json>"],
    ["gone.js", [], 1, "there is no module"],
    ["broken.service.js", [], 1, "broken on purpose"],
    ["two-methods.service.js", ["--method", "times"], 1, "has no method times"],
  ])("%s %j ends with %i: %s", async (name, args, expected, text) => {
    const { exitCode, stdout, stderr } = await ringpost("tune", cliModule(name), ...args, ...quick);
    expect(exitCode).toBe(expected);
    expect(stdout).toBe("");
    expect(stderr).toContain(text);
    expect(stderr).not.toContain("    at ");
  });
});
