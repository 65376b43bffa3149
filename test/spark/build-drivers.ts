/**
 * Builds the drivers of test/spark with Maven, for each line of Spark, where anything has changed since the last time. Says in
 * one line what is missing and ends with 1.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SPARK_LINES } from "./spark-lines.js";

const PROJECT = join("test", "spark");

/** What the build depends on, as one number. */
function fingerprint(): string {
  const hash = createHash("sha256").update(readFileSync(join(PROJECT, "pom.xml")));
  const sources = readdirSync(join(PROJECT, "src"), { recursive: true, withFileTypes: true });
  for (const file of sources.filter((entry) => entry.isFile()).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    hash.update(file.name).update(readFileSync(join(file.parentPath, file.name)));
  }
  return hash.digest("hex");
}

function javaVersion(): number {
  const { stderr, error } = spawnSync("java", ["-version"], { encoding: "utf8" });
  return error === undefined ? Number(/version "(\d+)/.exec(stderr)?.[1] ?? 0) : 0;
}

/** Built from what is there now, and the jars that it was built with have not been cleaned away. */
function isBuilt(line: string, from: string): boolean {
  const folder = join("build", `spark-${line}`);
  const stamp = join(folder, "built-from");
  if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== from) return false;
  return readFileSync(join(folder, "classpath.txt"), "utf8").trim().split(":").every(existsSync);
}

/** Why it cannot be built; null where it is built. */
function build(): string | null {
  const version = javaVersion();
  if (version < 17) return version === 0 ? "java is missing" : `java is ${version}`;
  if (spawnSync("mvn", ["-version"]).error !== undefined) return "mvn is missing";
  const now = fingerprint();
  for (const line of SPARK_LINES) {
    if (isBuilt(line, now)) continue;
    const profile = `spark${line.replace(".", "")}`;
    const { status } = spawnSync("mvn", ["-q", "-B", "-f", PROJECT, "-P", profile, "process-classes"], {
      stdio: ["ignore", 2, 2],
    });
    if (status !== 0) return `mvn could not build the drivers for Spark ${line}, see above`;
    writeFileSync(join("build", `spark-${line}`, "built-from"), now);
  }
  return null;
}

const why = build();
if (why !== null) {
  console.error(`test:spark needs Java 17 and Maven: ${why}`);
  process.exitCode = 1;
}
