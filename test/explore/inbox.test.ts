/**
 * Goal: the shipped inbox keeps its rules under every schedule with up to three preemptions, crashes included.
 * Method: the scenarios of scenarios/inbox-scenarios.ts on the transformed files of dist/src/inbox.
 */
import { describe, expect, test } from "vitest";
import { exploreAll, type Scenario } from "./explorer.js";
import { inboxVariant } from "./scenarios/inbox-parts.js";
import * as scenarios from "./scenarios/inbox-scenarios.js";

const inbox = inboxVariant();

/** Schedules and states stand in the report of the run: how much was searched is part of the claim. */
function search(scenario: Scenario<unknown>, preemptions: number): void {
  test(`${scenario.name}, ${preemptions} preemptions`, { timeout: 600_000 }, () => {
    const { schedules, states, steps } = exploreAll(scenario, { preemptions, preemptionsMin: preemptions });
    console.log(`${scenario.name}: preemptions=${preemptions} schedules=${schedules} states=${states} steps=${steps}`);
    expect(schedules).toBeGreaterThan(0);
  });
}

/** `npm run explore` searches everything as far as this machine can; CI what fits into its minutes. */
const full = process.env.EXPLORE === "full";

describe("the shipped inbox", () => {
  for (const [, position] of scenarios.POSITIONS) search(scenarios.pinned(inbox, 6, position), 3);
  // The positions differ in the ring alone, which does not know who shares it: three preemptions at one of them.
  for (const [, position] of scenarios.POSITIONS) {
    search(scenarios.shared(inbox, 2, position), full || position === 0 ? 3 : 2);
  }
  search(scenarios.busySibling(inbox, 3), 3);
  search(scenarios.crash(inbox, 2), full ? 2 : 1);
  search(scenarios.jump(inbox), 3);
  search(scenarios.openEntry(inbox), 3);
  search(scenarios.cancel(inbox), 3);
  search(scenarios.summary(inbox), 3);
});
