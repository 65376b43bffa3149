/**
 * Goal: what README.md shows runs as it stands there, for somebody who installs the package and copies it.
 * Method: blocks marked `file=` are written to a folder, ringpost is unpacked beside them from the tarball that npm would
 * publish, TypeScript is compiled as strictly as it can be. Each block marked `output=` is what the program of that name
 * must print, and nothing else, before it ends by itself.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));
const HANGS_MS = 40_000;

/** The blocks of a document with a name after `mark`, by that name; several of one name are one file. */
function blocks(document: string, mark: "file" | "output"): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, name = "", text = ""] of document.matchAll(
    new RegExp(`^\`\`\`\\w+ ${mark}=(\\S+)\\n(.*?)^\`\`\`$`, "gms"),
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
    target: "ES2022",
    lib: ["ES2023", "ESNext.Disposable"],
    module: "NodeNext",
    types: ["node"],
    rootDir: ".",
    strict: true,
    exactOptionalPropertyTypes: true,
    noImplicitOverride: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
  };
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  await run(process.execPath, [compiler, "-p", folder]).catch((error: { stdout: string }) => expect.fail(error.stdout));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test.each([...outputs])("%s of README.md prints what stands there", async (program, output) => {
  const printed = await run(process.execPath, [program], { cwd: folder, timeout: HANGS_MS });
  expect(printed).toEqual({ stdout: output, stderr: "" });
});

test("every block of code in README.md is run", () => {
  const marked = files.size + outputs.size;
  expect([...readme.matchAll(/^```(?:js|ts|text)/gm)]).toHaveLength(marked);
  const imported = [...files.values(), ...outputs.keys()].join("\n");
  const programs = [...outputs.keys()];
  for (const name of files.keys()) {
    const built = name.replace(/\.ts$/, ".js");
    expect([programs.includes(built) || imported.includes(`./${built}`), name]).toEqual([true, name]);
  }
});
