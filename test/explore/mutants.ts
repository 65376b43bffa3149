/**
 * Deliberate bugs, at least one for each rule of docs/adr/0001-shared-memory-protocol.md, each with the scenario that
 * must catch it. A mutant that survives means a rule that nothing watches.
 */
import type { Scenario } from "./explorer.js";
import { PARK_MUTANTS } from "./mutants/park-mutants.js";
import { RING_MUTANTS } from "./mutants/ring-mutants.js";
import { TAKE_MUTANTS } from "./mutants/take-mutants.js";
import type { Inbox } from "./scenarios/inbox-parts.js";
import type { Mutant } from "./variants.js";

/** A change of a file of src/inbox. */
export interface CaughtMutant extends Mutant {
  readonly scenario: (inbox: Inbox) => Scenario<unknown>;
}

/** A step that src/dispatcher makes, and the scenario does as it does, left out: see `Without`. */
export interface StepMutant {
  readonly name: string;
  readonly rule: string;
  /** The file that makes the step in the product. */
  readonly file: string;
  readonly scenario: (inbox: Inbox) => Scenario<unknown>;
}

export const MUTANTS: readonly CaughtMutant[] = [...RING_MUTANTS, ...TAKE_MUTANTS, ...PARK_MUTANTS];
