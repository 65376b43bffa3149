/**
 * Goal: a loop may die at any step, and nothing is lost, run twice, or counted wrong.
 * Method: the scenarios of scenarios/recovery-scenarios.ts on the transformed files of dist/src/inbox.
 */
import { describe } from "vitest";
import { inboxVariant } from "./scenarios/inbox-parts.js";
import * as scenarios from "./scenarios/recovery-scenarios.js";
import { full, search } from "./search.js";

const inbox = inboxVariant();

describe("when a loop dies", () => {
  search(scenarios.crash(inbox, 2), full ? 2 : 1);
  search(scenarios.crash(inbox, 2, { position: 8 }), full ? 2 : 1);
  search(scenarios.rejoin(inbox, 2), full ? 1 : 0);
  search(scenarios.lateRelease(inbox), full ? 2 : 1);
  search(scenarios.oneWays(inbox, 3), 3);
  search(scenarios.broadcasts(inbox, true), 3);
  search(scenarios.broadcasts(inbox, false), 3);
});
