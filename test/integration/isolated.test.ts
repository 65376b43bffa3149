/**
 * Goal: an isolated endpoint has threads of its own: what it does delays nobody else, and they end with it.
 * Method: endpoints that hold their threads at gates; the loops that stats tell.
 */
import { RpcEnv } from "ringpost";
import { describe, expect, test } from "vitest";
import { failureOf } from "../contract/ask-send.contract.js";
import { CRASHED, outcome, Reports } from "../fixtures/crash-watch.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";

type Isolated = typeof import("../fixtures/crash-isolated.js");
type IsolatedSerial = typeof import("../fixtures/crash-isolated-serial.js");
type Serial = typeof import("../fixtures/crash-serial.js");
type Kind = "concurrent" | "serial" | "isolated" | "isolated-serial";

const isolated = fixtureUrl("crash-isolated");
const isolatedSerial = fixtureUrl("crash-isolated-serial");

function loopsOf(env: RpcEnv): number[] {
  return env.stats().loops.map(({ index }) => index);
}

describe("an isolated endpoint", () => {
  test("that holds its threads delays nobody, also with one shared loop; it uses all of its own", async () => {
    using gate = new Gate();
    using other = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const shared = await env.setupEndpoint<Serial>("shared", fixtureUrl("crash-serial"), {
      args: { gate: other.name },
    });
    const ref = await env.setupEndpoint<Isolated>("isolated", isolated, { args: { gate: gate.name } });
    expect(loopsOf(env)).toEqual([1, 2, 3]);
    const held = [ref.ask({ op: "spin" }), ref.ask({ op: "spin" })];
    await gate.reached(2);
    const counts = Array.from({ length: 100 }, () => shared.ask({ op: "count" }));
    expect(await Promise.all(counts)).toEqual(counts.map((_, n) => n + 1));
    gate.open();
    expect(await Promise.all(held)).toEqual(["opened", "opened"]);
  });

  test("whose kind is told needs no shared loop; its loops end with it, and their ids are used again", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 2 });
    for (let round = 0; round < 3; round++) {
      const ref = await env.setupEndpoint<Isolated>("isolated", isolated, {
        args: { gate: gate.name },
        kind: "isolated",
      });
      const serial = await env.setupEndpoint<IsolatedSerial>("serial", isolatedSerial, {
        args: { gate: gate.name },
        kind: "isolated-serial",
      });
      expect(loopsOf(env)).toEqual([3, 4, 5]);
      const counts = Array.from({ length: 100 }, () => serial.ask({ op: "count" }));
      expect(await Promise.all(counts)).toEqual(counts.map((_, n) => n + 1));
      expect(
        new Set(await Promise.all(Array.from({ length: 50 }, (_, n) => ref.ask({ op: "echo", value: n })))).size,
      ).toBe(50);
      await Promise.all([env.stop(ref), env.stop(serial)]);
      expect(loopsOf(env)).toEqual([]);
      const notes = Array.from({ length: 6 }, () => gate.note());
      expect((await Promise.all(notes)).filter((note) => note === "stopped")).toHaveLength(3);
    }
  });

  test("does not start when its kind is another than told, or its own start fails; its loops end", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const args = { gate: gate.name };
    const cases: [module: URL, kind: Kind, says: string][] = [
      [isolated, "isolated-serial", "its kind is isolated, and option kind says isolated-serial"],
      [fixtureUrl("crash-serial"), "isolated", "its kind is serial, and option kind says isolated"],
      [isolated, "serial", "its kind is isolated, and option kind says serial"],
    ];
    for (const [module, kind, says] of cases) {
      const error = await failureOf(env.setupEndpoint("wrong", module, { args, kind }));
      expect([error.code, error.message]).toEqual(["ERR_RPC_ENDPOINT_START", expect.stringContaining(says)]);
    }
    const failing = { args: { gate: gate.name, does: "throw" as const } };
    for (const options of [failing, { ...failing, kind: "isolated" as const }]) {
      const error = await failureOf(env.setupEndpoint<Isolated>("failing", isolated, options));
      expect([error.code, error.message]).toEqual([
        "ERR_RPC_ENDPOINT_START",
        expect.stringContaining("will not start"),
      ]);
    }
    await expect.poll(() => loopsOf(env)).toEqual([1]);
    const wrong = await failureOf(env.setupEndpoint("wrong", isolated, { args, kind: "unheard" as Kind }));
    expect([wrong.code, wrong.message]).toEqual([
      "ERR_RPC_INVALID_ARGUMENT",
      expect.stringContaining('kind="unheard"'),
    ]);
    const pinned = await failureOf(env.setupEndpoint("wrong", isolated, { args, loop: 1 }));
    expect([pinned.code, pinned.message]).toEqual(["ERR_RPC_INVALID_ARGUMENT", expect.stringContaining("option loop")]);
  });

  test("is refused clearly when no loops are left", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 254 });
    const args = { gate: gate.name };
    const error = await failureOf(env.setupEndpoint("two", isolated, { args, kind: "isolated" }));
    expect(error.code).toBe("ERR_RPC_ENDPOINT_START");
    expect(error.message).toContain("needed=1, free=0, loopsMax=255, sharedLoops=254");
    await expect.poll(() => loopsOf(env)).toEqual([]);
  });

  test("that dies is restarted on its own loops, and nobody else notices", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const reports = new Reports(env);
    const ref = await env.setupEndpoint<IsolatedSerial>("serial", isolatedSerial, {
      args: { gate: gate.name },
      kind: "isolated-serial",
    });
    const dying = outcome(ref.ask({ op: "exit", code: 1 }));
    const behind = Array.from({ length: 100 }, () => ref.ask({ op: "count" }));
    expect(await dying).toBe(CRASHED);
    expect(await Promise.all(behind)).toEqual(behind.map((_, n) => n + 1));
    expect(await reports.crash()).toMatchObject({ loop: 2, blamed: "serial", restarted: ["serial"] });
    for (let crash = 2; crash <= 5; crash++) expect(await outcome(ref.ask({ op: "exit", code: 1 }))).toBe(CRASHED);
    expect(await reports.failure()).toBe("serial");
    await expect.poll(() => loopsOf(env)).toEqual([]);
    expect((await failureOf(ref.ask({ op: "count" }))).code).toBe("ERR_RPC_ENDPOINT_FAILED");
    await env.stop(ref);
  });
});
