/**
 * Goal: an environment is a good citizen of its process: it keeps it alive and lets it end, idles at no cost, hides no
 * output, and loads what it needs only.
 * Method: child processes, each one scenario of test/fixtures/process-main.ts.
 *
 * Bounds of time and of processor use are ten times the expected.
 */
import { once } from "node:events";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { RpcEnv } from "ringpost";
import { describe, expect, test } from "vitest";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";
import { runMain, startMain } from "../fixtures/run-main.js";

type Service = typeof import("../fixtures/process-service.js");

describe("a process with an environment", () => {
  test.each(["1", "2"])("ends by itself after shutdown: %s loops", async (loops) => {
    expect(await runMain("process-main", ["exits", loops])).toEqual({ code: 0, lines: ['"down"'], errors: "" });
  });

  test("lives while its environment does", async () => {
    expect(await runMain("process-main", ["lives"])).toEqual({ code: 0, lines: ['"still alive"'], errors: "" });
  });

  test("lives while its environment does, also one without endpoints", async () => {
    const outcome = await runMain("process-main", ["livesWithoutEndpoints"]);
    expect(outcome).toEqual({ code: 0, lines: ['"still alive"'], errors: "" });
  });

  test.each(["1", "2", "5"])("ends by itself after loops have crashed: %s loops", async (loops) => {
    const { code, lines } = await runMain("process-main", ["crashes", loops]);
    expect([code, lines.at(-1)]).toEqual([0, '"down"']);
    expect(Number(lines[0])).toBe(196);
  });

  test("passes on at once what a handler prints, while its loop then idles", async () => {
    const child = startMain("process-main", ["prints"]);
    const lines = createInterface(child.stdout!);
    const startedMs = performance.now();
    const [line] = (await once(lines, "line")) as [string];
    // Expected: 0.3 s of starting the process and 50 ms for the line. A line that waits for the next message never comes.
    expect(performance.now() - startedMs).toBeLessThan(5_000);
    expect(line).toBe("printed by a worker");
    expect(child.exitCode).toBe(null);
    child.stdin?.end();
    const [code] = (await once(child, "close")) as [number | null];
    expect(code).toBe(0);
  });

  test.each(["2", "8"])("uses next to no processor while idle: %s loops", async (loops) => {
    const { code, lines } = await runMain("process-main", ["idles", loops]);
    console.log(`idle, ${loops} loops: ${(Number(lines[0]) * 100).toFixed(2)} % of a core`);
    expect(code).toBe(0);
    // Expected: under 0.5 %.
    expect(Number(lines[0])).toBeLessThan(0.05);
  });

  // Node 20 aborts the process when a thread is terminated at the wrong moment of require() of an ES module.
  test("starts its threads by import() alone, never by require() of an ES module", async () => {
    const { code, errors } = await runMain("process-main", ["exits", "2"], ["--trace-require-module=all"]);
    expect({ code, errors }).toEqual({ code: 0, errors: "" });
  });

  test("loads the thread pool only where an environment is made, never by the import of an endpoint module", async () => {
    const { code, lines } = await runMain("import-main", []);
    const imported = lines.indexOf("imported");
    const pools = lines
      .map((line, index) => (line.includes("node_modules/piscina") ? index : -1))
      .filter((index) => index >= 0);
    expect([code, lines.at(-1)]).toEqual([0, "created"]);
    expect(lines.slice(0, imported).join("\n")).toContain("dist/src/index.js");
    expect(pools.length).toBeGreaterThan(0);
    expect(Math.min(...pools)).toBeGreaterThan(imported);
  });
});

describe("a loop without messages", () => {
  test("still runs the timers and sockets of its handlers", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const ref = await env.setupEndpoint<Service>("service", fixtureUrl("process-service"));
    await ref.call.startTicking(gate.name);
    expect(await gate.note()).toBe("ticked");
    const port = await ref.call.listen();
    for (let n = 0; n < 3; n++) {
      const socket = connect(port, "127.0.0.1");
      const [data] = (await once(socket, "data")) as [Buffer];
      expect(data.toString()).toBe("served by a worker");
      socket.destroy();
    }
  });
});
