/**
 * Goal: every rule of the protocol is watched: break it, and a scenario fails.
 * Method: each mutant is put into the compiled inbox and its scenario explored with rising preemptions.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { explore } from "./explorer.js";
import { STEP_MUTANTS } from "./mutants/step-mutants.js";
import { MUTANTS } from "./mutants.js";
import { inboxVariant } from "./scenarios/inbox-parts.js";

/**
 * Rules that no mutant of src/inbox can break, and where they are held instead: R14 is the order of two calls in
 * src/dispatcher/handler-runner.ts, R18 a timer of loop 0 that is a net under the others.
 */
const HELD_ELSEWHERE = ["R14", "R18"];

/** The hardest to find takes 200,000. */
const SCHEDULES_MAX = 400_000;

describe("a mutant of rule", () => {
  for (const mutant of MUTANTS) {
    test(`${mutant.rule}, ${mutant.name}, is caught`, { timeout: 300_000 }, () => {
      const { failure, schedules, states } = explore(mutant.scenario(inboxVariant(mutant)), {
        preemptions: 3,
        schedulesMax: SCHEDULES_MAX,
      });
      console.log(`${mutant.rule} ${mutant.name}: schedules=${schedules} states=${states}: ${failure?.message}`);
      expect(failure, "it survived").toBeDefined();
      // A mutant that takes the last access of the seam out of a function makes it no generator: that proves nothing.
      expect(failure?.message).not.toMatch(/iterable|is not a function|undefined/);
    });
  }
});

describe("a step that is left out, of rule", () => {
  for (const { rule, name, file, scenario } of STEP_MUTANTS) {
    test(`${rule}, ${name} (${file}), is missed`, { timeout: 300_000 }, () => {
      const { failure, schedules, states } = explore(scenario(inboxVariant()), {
        preemptions: 3,
        schedulesMax: SCHEDULES_MAX,
      });
      console.log(`${rule} ${name}: schedules=${schedules} states=${states}: ${failure?.message}`);
      expect(failure, "nobody misses it").toBeDefined();
    });
  }
});

test("every rule of the ADR has a mutant, or says where it is held", () => {
  const adr = readFileSync(new URL("../../docs/adr/0001-shared-memory-protocol.md", import.meta.url), "utf8");
  const rules = [...adr.matchAll(/^- (R\d+) /gm)].map((match) => match[1]);
  expect(rules.length).toBeGreaterThan(15);
  const watched = new Set([...MUTANTS.map((mutant) => mutant.rule), ...HELD_ELSEWHERE]);
  expect(rules.filter((rule) => !watched.has(rule as string))).toEqual([]);
});
