/**
 * Removes what executors left behind: files in the subdirectories of their local directories, then subdirectories and local
 * directories that are empty. Nothing else that lies in a local directory is touched, since whoever registered it may have
 * named a directory that is not his: Spark removes all of it. A subdirectory that an executor has as its local directory is
 * none. Links are removed, never followed.
 */
import { readdir, rmdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { LocalDirs } from "./local-dirs.js";
import { inRealDirectory } from "./real-directory.js";

export interface Cleaned {
  removedFiles: number;
  /** What could not be removed, and why; the rest was gone on with. */
  readonly failures: unknown[];
}

/**
 * Removes the files of an executor's directories.
 * @param keeps tells of a file's name whether it stays.
 * @param removesDirs the local directories, too, if nothing is left in them.
 * @param isLocalDir tells of a directory whether an executor has it.
 */
export async function cleanLocalDirs(
  dirs: LocalDirs,
  keeps: (filename: string) => boolean,
  removesDirs: boolean,
  isLocalDir: (path: string) => boolean,
): Promise<Cleaned> {
  const cleaned: Cleaned = { removedFiles: 0, failures: [] };
  for (const localDir of dirs.localDirs) {
    await guard(cleaned, async () => {
      const realDir = await dirs.realDirOf(localDir);
      for (const subDir of await subDirsOf(realDir, dirs.subDirsPerLocalDir)) {
        if (isLocalDir(join(realDir, subDir))) continue;
        await guard(cleaned, () => cleanSubDir(realDir, subDir, keeps, cleaned));
      }
      if (removesDirs) await removeIfEmpty(realDir);
    });
  }
  return cleaned;
}

/** Those that an executor makes: a number in hexadecimal, two digits at least. */
function subDirsOf(realDir: string, count: number): Promise<string[]> {
  return inRealDirectory(realDir, async (path) => {
    const entries = await readdir(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory() && isSubDir(entry.name, count)).map(({ name }) => name);
  });
}

function isSubDir(name: string, count: number): boolean {
  const index = Number.parseInt(name, 16);
  return index < count && index.toString(16).padStart(2, "0") === name;
}

async function cleanSubDir(
  realDir: string,
  subDir: string,
  keeps: (filename: string) => boolean,
  cleaned: Cleaned,
): Promise<void> {
  await inRealDirectory(join(realDir, subDir), async (path) => {
    for (const entry of await readdir(path, { withFileTypes: true })) {
      if (entry.isDirectory() || keeps(entry.name)) continue;
      await guard(cleaned, async () => {
        await unlink(join(path, entry.name));
        cleaned.removedFiles++;
      });
    }
  });
  await inRealDirectory(realDir, (path) => removeIfEmpty(join(path, subDir)));
}

async function removeIfEmpty(path: string): Promise<void> {
  try {
    await rmdir(path);
  } catch (error) {
    if (!["ENOTEMPTY", "EEXIST", "ENOENT"].includes(codeOf(error))) throw error;
  }
}

/** What is gone already needs no removing. */
async function guard(cleaned: Cleaned, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (codeOf(error) !== "ENOENT") cleaned.failures.push(error);
  }
}

/** The system's code of an error or of what it was caused by. */
export function codeOf(error: unknown): string {
  const { code, cause } = error as { readonly code?: unknown; readonly cause?: unknown };
  if (cause instanceof Error) return codeOf(cause);
  return typeof code === "string" ? code : "";
}
