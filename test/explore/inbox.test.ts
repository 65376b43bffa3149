/**
 * Goal: the shipped inbox keeps its rules under every schedule with up to three preemptions, crashes included.
 * Method: the scenarios of scenarios/inbox-scenarios.ts on the transformed files of dist/src/inbox.
 */
import { describe } from "vitest";
import { inboxVariant } from "./scenarios/inbox-parts.js";
import * as scenarios from "./scenarios/inbox-scenarios.js";
import { full, search } from "./search.js";

const inbox = inboxVariant();

describe("the shipped inbox", () => {
  for (const [, position] of scenarios.POSITIONS) search(scenarios.pinned(inbox, 6, position), 3);
  // Positions differ in the ring alone, which does not know who shares it. The 8 million states of three preemptions
  // take a minute.
  for (const [, position] of scenarios.POSITIONS) search(scenarios.shared(inbox, 2, position), full ? 3 : 2);
  search(scenarios.busySibling(inbox, 3), 3);
  search(scenarios.jump(inbox), 3);
  search(scenarios.openEntry(inbox), 3);
  search(scenarios.cancel(inbox), 3);
  search(scenarios.summary(inbox), 3);
  search(scenarios.twoRingers(inbox), 3);
});
