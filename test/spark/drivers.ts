/**
 * Drivers in Java, built by Maven into folders of build/, each with its class path as a file beside the classes. All paths
 * are relative to the package's folder, where npm runs its scripts.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Drivers {
  /** Where the pom.xml lies. */
  readonly project: string;
  /** One of its profiles. */
  readonly profile: string;
  /** The folder of build/ into which it builds. */
  readonly folder: string;
  /** Folders of sources. */
  readonly sources: readonly string[];
  /** Nothing is fetched: what is not here is missing; and nothing is said of it but that. */
  readonly isOffline?: boolean;
}

/** What java is to be told about the drivers of a folder of build/. */
export function classPathOf(folder: string): string {
  return `${join("build", folder, "classes")}:${jarsOf(folder)}`;
}

/** Builds them where anything has changed since the last time. Why that cannot be done; null where they are there. */
export function buildDrivers({ project, profile, folder, sources, isOffline = false }: Drivers): string | null {
  const version = javaVersion();
  if (version < 17) return version === 0 ? "java is missing" : `java is ${version}, not 17`;
  if (spawnSync("mvn", ["-version"]).error !== undefined) return "mvn is missing";
  const stamp = join("build", folder, "built-from");
  const now = fingerprint(project, sources);
  if (isBuilt(folder, stamp, now)) return null;
  const options = ["-q", "-B", ...(isOffline ? ["-o"] : []), "-f", project, "-P", profile];
  const { status } = spawnSync("mvn", [...options, "process-classes"], {
    stdio: isOffline ? "ignore" : ["ignore", 2, 2],
  });
  if (status !== 0) {
    return isOffline ? "its jars have not been fetched yet" : `mvn could not build profile ${profile}, see above`;
  }
  writeFileSync(stamp, now);
  return null;
}

/** Built from what is there now, and the jars that it was built with have not been cleaned away. */
function isBuilt(folder: string, stamp: string, from: string): boolean {
  if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== from) return false;
  return jarsOf(folder).split(":").every(existsSync);
}

function jarsOf(folder: string): string {
  return readFileSync(join("build", folder, "classpath.txt"), "utf8").trim();
}

/** What the build depends on, as one number. */
function fingerprint(project: string, sources: readonly string[]): string {
  const hash = createHash("sha256").update(readFileSync(join(project, "pom.xml")));
  for (const folder of sources) {
    const all = readdirSync(folder, { recursive: true, withFileTypes: true });
    for (const file of all.filter((entry) => entry.isFile()).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      hash.update(file.name).update(readFileSync(join(file.parentPath, file.name)));
    }
  }
  return hash.digest("hex");
}

function javaVersion(): number {
  const { stderr, error } = spawnSync("java", ["-version"], { encoding: "utf8" });
  return error === undefined ? Number(/version "(\d+)/.exec(stderr)?.[1] ?? 0) : 0;
}
