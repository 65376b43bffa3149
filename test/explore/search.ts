/** How the test files of this folder search a scenario, and how far. */
import { expect, test } from "vitest";
import { exploreAll, type Scenario } from "./explorer.js";

/** `npm run explore` searches everything as far as this machine can; CI what fits into its minutes. */
export const full = process.env.EXPLORE === "full";

/** Schedules and states stand in the report of the run: how much was searched is part of the claim. */
export function search(scenario: Scenario<unknown>, preemptions: number): void {
  test(`${scenario.name}, ${preemptions} preemptions`, { timeout: 3_600_000 }, () => {
    const startedMs = performance.now();
    const { schedules, states, steps } = exploreAll(scenario, { preemptions, preemptionsMin: preemptions });
    const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1);
    const searched = `preemptions=${preemptions} schedules=${schedules} states=${states} steps=${steps}`;
    console.log(`${scenario.name}: ${searched} seconds=${seconds}`);
    expect(schedules).toBeGreaterThan(0);
  });
}
