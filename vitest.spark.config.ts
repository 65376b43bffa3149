import { defineConfig } from "vitest/config";

/**
 * The tests that have Spark itself for a peer, apart from the others: they need Java and Maven, `npm run test:spark` looks for
 * both first. One file at a time: two JVMs are enough for a small machine.
 */
export default defineConfig({
  test: {
    name: "spark",
    include: ["test/spark/**/*.test.ts"],
    pool: "forks",
    fileParallelism: false,
    maxWorkers: 1,
    server: { deps: { external: [/\/(dist|build)\//] } },
    testTimeout: 180_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 60_000 } },
    passWithNoTests: false,
  },
});
