/**
 * Variants: the shipped inbox, transformed, as it is or with a deliberate bug put in. Each has its own folder
 * build/explore/<variant>/inbox, to be read and stepped through.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { TransformError } from "./colour.js";
import { DOUBLE_FILE, transform } from "./transform.js";

/** A deliberate bug: the search must find it, or the rule it breaks is not covered. */
export interface Mutant {
  /** Unique, kebab-case: the folder of its variant. */
  readonly name: string;
  /** The rule of ADR 0001 it breaks: R1…Rn. */
  readonly rule: string;
  /** File in dist/src/inbox, such as "ring.js". */
  readonly file: string;
  /** Text of the compiled file; must occur exactly once. */
  readonly find: string;
  readonly replace: string;
}

export interface VariantOptions {
  /** Folder of the compiled inbox. Default dist/src/inbox of this repository. */
  readonly sourceDir?: string;
  /** Default build/explore/<variant>. */
  readonly outDir?: string;
}
const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

/** Writes a variant and returns the folder that holds its inbox/*.js. */
export function buildVariant(variant: string, mutants: readonly Mutant[] = [], options: VariantOptions = {}): string {
  const sourceDir = options.sourceDir ?? join(ROOT, "dist/src/inbox");
  const outDir = join(options.outDir ?? join(ROOT, "build/explore", variant), "inbox");
  const sources = new Map<string, string>();
  for (const file of readdirSync(sourceDir)) {
    if (file.endsWith(".js")) sources.set(file, readFileSync(join(sourceDir, file), "utf8"));
  }
  for (const mutant of mutants) {
    const text = sources.get(mutant.file);
    if (text === undefined) throw new TransformError(`mutant ${mutant.name}: no file ${mutant.file} in ${sourceDir}`);
    sources.set(mutant.file, applyMutant(mutant, text));
  }
  mkdirSync(outDir, { recursive: true });
  const outputs = transform(sources, (specifier) => {
    const path = relative(outDir, resolve(sourceDir, specifier));
    return path.replaceAll("\\", "/");
  });
  for (const file of readdirSync(outDir)) if (file.endsWith(".js") && !outputs.has(file)) rmSync(join(outDir, file));
  for (const [file, text] of outputs) writeWhole(join(outDir, file), text);
  return outDir;
}

export function applyMutant(mutant: Mutant, text: string): string {
  const count = text.split(mutant.find).length - 1;
  if (count !== 1) {
    throw new TransformError(
      `mutant ${mutant.name}: its text occurs ${count} times in ${mutant.file}, must be once: ${JSON.stringify(mutant.find)}`,
    );
  }
  return text.replace(mutant.find, () => mutant.replace);
}

/** Test files build the same variant at the same time: whoever reads sees a whole file, whoever writes writes the same. */
function writeWhole(path: string, text: string): void {
  const partial = `${path}.${process.pid}`;
  writeFileSync(partial, text);
  renameSync(partial, path);
}

const loaded = new Map<string, { hash: string; modules: Record<string, unknown> }>();

/**
 * Builds a variant and loads its modules natively: the test runner would rewrite them, and slow them down.
 * Give the type from what the shipped modules export, with `Explored`.
 */
export function loadVariant<T>(variant: string, mutants: readonly Mutant[] = [], options: VariantOptions = {}): T {
  const outDir = buildVariant(variant, mutants, options);
  const files = readdirSync(outDir).filter((file) => file.endsWith(".js"));
  const hash = createHash("sha256");
  for (const file of files) hash.update(readFileSync(join(outDir, file)));
  const digest = hash.digest("hex");
  const known = loaded.get(outDir);
  if (known !== undefined) {
    if (known.hash !== digest)
      throw new TransformError(`variant ${variant} was loaded with other content: name it apart`);
    return known.modules as T;
  }
  const require = createRequire(join(outDir, "load.js"));
  const modules: Record<string, unknown> = {};
  for (const file of files) {
    if (file !== DOUBLE_FILE) Object.assign(modules, require(join(outDir, file)));
  }
  loaded.set(outDir, { hash: digest, modules });
  return modules as T;
}
