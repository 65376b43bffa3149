/**
 * Goal: each guard against a pitfall outside of the protocol has a test that fails without it.
 * Method: a copy of the built package in which the guard is missing, and that one test. Minutes, so `npm run explore`
 * does it; CI sees that the guards are still where this list says.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { GUARDS, type Guard } from "./guards.js";
import { full } from "./search.js";

const ROOT = resolve(fileURLToPath(import.meta.url), "../../..");

function withoutGuard(guard: Guard): string {
  const text = readFileSync(join(ROOT, "dist/src", guard.file), "utf8");
  expect(text.split(guard.find), `${guard.name}: ${guard.file} has this text once: ${guard.find}`).toHaveLength(2);
  return text.replace(guard.find, () => guard.replace);
}

/** Exit status and report of one test, run against a copy of this repository; `patched`: replaces a compiled file. */
function runInCopy(guard: Guard, patched: string | null): { passed: boolean; report: string } {
  const copy = mkdtempSync(join(tmpdir(), "ringpost-guard-"));
  try {
    for (const path of ["dist", "build/test", "test", "package.json", "vitest.config.ts", "workers", "tsconfig.json"])
      cpSync(join(ROOT, path), join(copy, path), { recursive: true, force: true });
    symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
    if (patched !== null) writeFileSync(join(copy, "dist/src", guard.file), patched);
    const args = ["node_modules/vitest/vitest.mjs", "run", guard.test, "-t", guard.title, "--testTimeout", "10000"];
    const run = spawnSync(process.execPath, args, { cwd: copy, encoding: "utf8", timeout: 60_000 });
    return { passed: run.status === 0, report: run.stdout + run.stderr };
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

test.each(GUARDS.map((guard) => [guard.name, guard] as const))("is found where the list says: %s", (_name, guard) => {
  expect(withoutGuard(guard)).not.toBe("");
  expect(readFileSync(join(ROOT, guard.test), "utf8")).toContain(guard.title);
});

if (full) {
  test.each(GUARDS.map((guard) => [guard.name, guard] as const))(
    "is missed by its test: %s",
    { timeout: 150_000 },
    (_name, guard) => {
      const whole = runInCopy(guard, null);
      expect(whole.passed, `passes with the guard: ${whole.report}`).toBe(true);
      const { passed, report } = runInCopy(guard, withoutGuard(guard));
      expect(passed, `fails without it: ${report}`).toBe(false);
    },
  );
}
