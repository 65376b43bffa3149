/**
 * Goal: what README.md shows runs as it stands there, for somebody who installs the package and copies it.
 * Method: blocks marked `file=` are written to a folder, ringpost is unpacked beside them from the tarball that npm
 * would publish, TypeScript is compiled with the tsconfig.json that it shows, and as strictly as it can be. Each block
 * marked `output=` is what the program of that name must print, and nothing else, before it ends by itself. One with
 * `server=` runs while that program does, and is given the uri that it prints; the server ends in order when it is told
 * to.
 */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));
const HANGS_MS = 40_000;

/**
 * The blocks of a document with a name after `mark`, by that name and what else stands there; several of one name are one
 * file.
 */
function blocks(document: string, mark: "file" | "output"): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, name = "", text = ""] of document.matchAll(
    new RegExp(`^\`\`\`\\w+ ${mark}=([^\\n]+)\\n(.*?)^\`\`\`$`, "gms"),
  )) {
    found.set(name, (found.get(name) ?? "") + text);
  }
  return found;
}

const readme = await readFile(join(root, "README.md"), "utf8");
const files = blocks(readme, "file");
const outputs = blocks(readme, "output");

/** Below build/, so that what ringpost depends on is found in the project's own node_modules. */
let folder: string;

beforeAll(async () => {
  await mkdir(join(root, "build"), { recursive: true });
  folder = await mkdtemp(join(root, "build", "readme-"));
  const installed = join(folder, "node_modules", "ringpost");
  await mkdir(installed, { recursive: true });
  await run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], { cwd: root });
  const tarball = (await readdir(folder)).find((name) => name.endsWith(".tgz")) ?? "";
  await run("tar", ["-xzf", join(folder, tarball), "-C", installed, "--strip-components=1"]);

  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  for (const [name, text] of files) await writeFile(join(folder, name), text);
  const compilerOptions = {
    noEmit: true,
    exactOptionalPropertyTypes: true,
    noImplicitOverride: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
  };
  const strict = join(folder, "tsconfig.strict.json");
  await writeFile(strict, JSON.stringify({ extends: "./tsconfig.json", compilerOptions }));
  const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  for (const project of [folder, strict]) {
    await run(process.execPath, [compiler, "-p", project]).catch(({ stdout }: { stdout: string }) =>
      expect.fail(stdout),
    );
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test.each([...outputs])("%s of README.md prints what stands there", async (mark, output) => {
  const [program = "", server] = mark.split(" server=");
  const client = (...args: string[]): Promise<{ stdout: string; stderr: string }> =>
    run(process.execPath, [program, ...args], { cwd: folder, timeout: HANGS_MS });
  const printed = server === undefined ? await client() : await besideServer(server, client);
  expect(printed).toEqual({ stdout: output, stderr: "" });
});

async function besideServer<R>(program: string, client: (uri: string) => Promise<R>): Promise<R> {
  const server = spawn(process.execPath, [program], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(server, "exit");
  try {
    let printed = "";
    for await (const text of server.stdout.setEncoding("utf8").iterator({ destroyOnReturn: false })) {
      printed += text;
      if (printed.endsWith("\n")) break;
    }
    const result = await client(printed.trim());
    server.kill("SIGINT");
    expect(await ended).toEqual([0, null]);
    return result;
  } finally {
    server.kill("SIGKILL");
  }
}

test("every block of code in README.md is run", () => {
  const marked = files.size + outputs.size;
  expect([...readme.matchAll(/^```(?:js|ts|text)/gm)]).toHaveLength(marked);
  const imported = [...files.values()].join("\n");
  const programs = [...outputs.keys()].flatMap((mark) => mark.split(" server="));
  // The compiler has read tsconfig.json.
  for (const name of [...files.keys()].filter((name) => !name.endsWith(".json"))) {
    const built = name.replace(/\.ts$/, ".js");
    expect([programs.includes(built) || imported.includes(`./${built}`), name]).toEqual([true, name]);
  }
});
