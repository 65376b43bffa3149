/** The files that the demo compresses. */
import { type Dirent, readdirSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { CommandFailure } from "./exit.js";

export interface TreeFile {
  readonly path: string;
  /** Relative to its root, for people and for `--out`. */
  readonly name: string;
  readonly bytes: number;
}

export interface FileTree {
  readonly roots: readonly string[];
  readonly files: readonly TreeFile[];
  readonly skipped: { symbolicLinks: number; unreadable: number; special: number };
}

/**
 * Every regular file below `dir`, largest first: then no big one is left for the end, when the other cores have nothing
 * more to do. Reads each once, so that what is unreadable is known and the rest lies in the file cache.
 *
 * @param except A folder below `dir` to leave out, where the results go.
 * Throws CommandFailure for a folder that is missing, none, or without files.
 */
export function readTree(dir: string, except: string | undefined): FileTree {
  const root = resolve(dir);
  let isFolder: boolean;
  try {
    isFolder = statSync(root).isDirectory();
  } catch (error) {
    const { code = "unreadable" } = error as NodeJS.ErrnoException;
    throw new CommandFailure(code === "ENOENT" ? `there is no folder ${dir}` : `cannot read ${dir}: ${code}`);
  }
  if (!isFolder) throw new CommandFailure(`${dir} is no folder`);
  return readTrees([{ root, prefix: "" }], except === undefined ? undefined : resolve(except), `below ${dir}`);
}

/**
 * Text that was installed together with this package: the TypeScript compiler where it can be resolved, from here or
 * from the working directory, otherwise the packages that ringpost itself needs.
 */
export function readDefaultTree(): FileTree {
  const resolvers = [createRequire(import.meta.url), createRequire(join(process.cwd(), "package.json"))];
  for (const resolver of resolvers) {
    const folder = packageFolder(resolver, "typescript");
    if (folder !== null) return readTrees([{ root: folder, prefix: "" }], undefined, `below ${folder}`);
  }
  const roots = ["piscina", "msgpackr", "comlink", "cac"]
    .map((name) => ({ root: packageFolder(resolvers[0] as NodeJS.Require, name) ?? "", prefix: name }))
    .filter(({ root }) => root !== "");
  return readTrees(roots, undefined, "by default; name a folder: ringpost demo <dir>");
}

function packageFolder(resolver: NodeJS.Require, name: string): string | null {
  let folder: string;
  try {
    folder = dirname(resolver.resolve(name));
  } catch {
    return null;
  }
  while (basename(folder) !== name) {
    if (dirname(folder) === folder) return null;
    folder = dirname(folder);
  }
  return folder;
}

function readTrees(
  roots: readonly { readonly root: string; readonly prefix: string }[],
  except: string | undefined,
  where: string,
): FileTree {
  const files: TreeFile[] = [];
  const skipped = { symbolicLinks: 0, unreadable: 0, special: 0 };
  const visit = (folder: string, root: string, prefix: string): void => {
    for (const entry of entriesOf(folder)) {
      const path = join(folder, entry.name);
      if (path === except) continue;
      if (entry.isSymbolicLink()) skipped.symbolicLinks++;
      else if (entry.isDirectory()) visit(path, root, prefix);
      else if (!entry.isFile()) skipped.special++;
      else {
        const bytes = bytesOf(path);
        if (bytes === null) skipped.unreadable++;
        else files.push({ path, name: join(prefix, relative(root, path)), bytes });
      }
    }
  };
  const entriesOf = (folder: string): Dirent[] => {
    try {
      return readdirSync(folder, { withFileTypes: true });
    } catch {
      skipped.unreadable++;
      return [];
    }
  };
  for (const { root, prefix } of roots) visit(root, root, prefix);
  if (files.length === 0) {
    const { unreadable } = skipped;
    throw new CommandFailure(
      `there is no file to compress ${where}${unreadable > 0 ? `: ${unreadable} unreadable` : ""}`,
    );
  }
  files.sort((a, b) => b.bytes - a.bytes || (a.name < b.name ? -1 : 1));
  return { roots: roots.map(({ root }) => root), files, skipped };
}

function bytesOf(path: string): number | null {
  try {
    return readFileSync(path).length;
  } catch {
    return null;
  }
}

/** A path as people write it: relative to the working directory where that is shorter. */
export function shown(path: string): string {
  const short = relative(process.cwd(), path);
  return short !== "" && !short.startsWith(`..${sep}`) && short !== ".." ? short : path;
}
