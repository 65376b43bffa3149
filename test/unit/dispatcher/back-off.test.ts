/** Goal: what fails is tried again after waits that grow while it goes on failing; whoever fails too often is told so. */
import { describe, expect, test } from "vitest";
import { BackOff, CrashBudget } from "../../../dist/src/dispatcher/back-off.js";

const SETTINGS = { blamedMax: 3, windowMs: 1_000, waitMs: 100, waitMsMax: 500 };

describe("a back-off", () => {
  test("doubles while the next failure follows soon upon an attempt, up to its maximum, and begins anew after that", () => {
    const backOff = new BackOff(SETTINGS);
    let nowMs = 7;
    const waits: number[] = [];
    for (const afterMs of [0, 0, 1_000, 0, 0, 1_001, 0]) {
      const waitMs = backOff.failed(nowMs + afterMs);
      waits.push(waitMs);
      nowMs += afterMs + waitMs;
    }
    expect(waits).toEqual([100, 200, 400, 500, 500, 100, 200]);
  });

  test("keeps its longest wait also when that is longer than the window", () => {
    const backOff = new BackOff({ ...SETTINGS, waitMs: 4_000, waitMsMax: 5_000 });
    const waits = [0, 4_000, 9_000].map((nowMs) => backOff.failed(nowMs));
    expect(waits).toEqual([4_000, 5_000, 5_000]);
  });

  test("waits no longer than its maximum, the first time neither", () => {
    expect(new BackOff({ ...SETTINGS, waitMs: 600 }).failed(0)).toBe(500);
  });
});

describe("a crash budget", () => {
  test("is spent by so many within the window, its ends included", () => {
    const budget = new CrashBudget(SETTINGS);
    expect([0, 500, 1_000].map((nowMs) => budget.spend(nowMs))).toEqual([false, false, true]);
  });

  test("forgets what is longer ago", () => {
    const budget = new CrashBudget(SETTINGS);
    expect([0, 500, 1_001, 1_501].map((nowMs) => budget.spend(nowMs))).toEqual([false, false, false, false]);
    expect(budget.spend(1_502)).toBe(true);
  });
});
