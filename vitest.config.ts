import { defineConfig } from "vitest/config";

/**
 * Tests import the built package, as users do: `ringpost` by self-reference, its insides from dist/. Vite must leave
 * those files alone, because worker entries and fixtures are loaded by URL beside them.
 *
 * Two groups, one after the other. What starts no threads and watches no time runs in parallel; what does either runs
 * one file at a time, so that on a small machine no test competes with another for the cores it measures or loads.
 */
const alone = { fileParallelism: false, maxWorkers: 1 };

export default defineConfig({
  test: {
    pool: "forks",
    server: { deps: { external: [/\/(dist|build)\//] } },
    // Generous: they only catch hangs. A test that needs less to be right asserts it itself.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    expect: { poll: { timeout: 20_000 } },
    retry: 0,
    bail: 0,
    passWithNoTests: false,
    projects: [
      {
        extends: true,
        test: {
          name: "fast",
          include: ["test/*.test.ts", "test/{unit,property,explore}/**/*.test.ts"],
          sequence: { groupOrder: 0 },
          // One file on each core: the explorer's files are long, and a core less would double them on two.
          maxWorkers: "100%",
        },
      },
      {
        extends: true,
        test: {
          name: "threads",
          include: ["test/{contract,conformance,integration,stress}/**/*.test.ts"],
          sequence: { groupOrder: 1 },
          ...alone,
        },
      },
    ],
  },
});
