/**
 * Goal: whatever comes to a live port, or as an answer, the process neither ends nor stands still nor keeps memory, and a client in order sees
 * no error.
 * Method: ten seconds of `npm run fuzz`, the corpus first (test/fuzz). The seed stands in what is printed.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const main = fileURLToPath(new URL("../../../build/test/fuzz/main.js", import.meta.url));

test("ten seconds of fuzzing a live port", async () => {
  const fuzzer = spawn(process.execPath, [main, "--seconds", "10"], { stdio: ["ignore", "pipe", "inherit"] });
  let report = "";
  fuzzer.stdout.on("data", (data) => {
    report += data;
  });
  const [code] = await once(fuzzer, "close");
  console.log(report);
  expect(report).toContain("fuzz: OK");
  expect(report).toMatch(/corpus: [1-9]/);
  // Most of what is sent gets past the decoder.
  expect(Number(/([0-9.]+) % of frames decoded/.exec(report)?.[1])).toBeGreaterThan(50);
  expect(Number(/([0-9.]+) % of answers decoded/.exec(report)?.[1])).toBeGreaterThan(40);
  expect(code).toBe(0);
}, 120_000);
