/**
 * Goal: every rule of the protocol is watched: break it, and a scenario fails.
 * Method: each mutant is put into the compiled inbox and its scenario explored with rising preemptions.
 */
import { describe, expect, test } from "vitest";
import { explore } from "./explorer.js";
import { STEP_MUTANTS } from "./mutants/step-mutants.js";
import { MUTANTS } from "./mutants.js";
import { inboxVariant } from "./scenarios/inbox-parts.js";

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
