/**
 * Goal: nobody waits for room or for a hand: what finds none comes through, nothing is lost, and no bell is eaten.
 * Method: scenarios/full-scenarios.ts and scenarios/stop-scenarios.ts on the transformed files of dist/src/inbox.
 */
import { describe } from "vitest";
import * as scenarios from "./scenarios/full-scenarios.js";
import { inboxVariant } from "./scenarios/inbox-parts.js";
import { overflow, restart, restartWithSpill } from "./scenarios/overflow-scenarios.js";
import { stop } from "./scenarios/stop-scenarios.js";
import { full, search } from "./search.js";

const inbox = inboxVariant();

describe("full", () => {
  search(scenarios.saturated(inbox, 3, "replica"), full ? 3 : 1);
  search(scenarios.saturated(inbox, 3, "loop"), full ? 3 : 1);
  search(scenarios.eatenWake(inbox), full ? 3 : 2);
  search(scenarios.deaf(inbox, ["asleep"]), full ? 3 : 2);
  search(scenarios.deaf(inbox, ["spinning"]), full ? 3 : 2);
  search(scenarios.deaf(inbox, ["asleep", "asleep"]), full ? 2 : 1);
  search(scenarios.throughput(inbox, 4), 3);
  search(scenarios.burst(inbox, 4), 3);
  search(scenarios.spillOrder(inbox, 4), 3);
  search(scenarios.sharedSpill(inbox, 4), full ? 2 : 1);
  search(scenarios.rewind(inbox), full ? 2 : 1);
  search(overflow(inbox, 4), full ? 3 : 2);
  search(restart(inbox, 4), full ? 2 : 1);
  search(restartWithSpill(inbox), full ? 2 : 1);
});

describe("stop", () => {
  search(stop(inbox, 1), full ? 3 : 2);
  search(stop(inbox, 2), full ? 1 : 0);
});
