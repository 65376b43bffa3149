/**
 * The shipped inbox, transformed, and what its scenarios are made of: a few lines of shared memory with a tiny ring, a
 * producer like loop 0, and consumers like message loops. Every thread binds objects of its own to that memory.
 */
import type * as AskTables from "../../../dist/src/inbox/ask-table.js";
import type * as Tables from "../../../dist/src/inbox/in-flight-table.js";
import type * as Inboxes from "../../../dist/src/inbox/inbox.js";
import {
  ENTRY_WORDS,
  LINE_WORDS,
  LOOP_CONTROL_WORDS,
  RING_HEAD,
  RING_OPEN,
  TABLE_ENTRIES,
} from "../../../dist/src/inbox/layout.js";
import type * as Queues from "../../../dist/src/inbox/loop-queues.js";
import type * as Parkings from "../../../dist/src/inbox/parking.js";
import type * as ReadySets from "../../../dist/src/inbox/ready-set.js";
import type * as Records from "../../../dist/src/inbox/record.js";
import type { OutgoingRecord, PayloadWriter, TakenRecord } from "../../../dist/src/inbox/record.js";
import type * as Rings from "../../../dist/src/inbox/ring.js";
import type { Segment } from "../../../dist/src/inbox/segment.js";
import type * as Spills from "../../../dist/src/inbox/spill-queue.js";
import { type Explored, type ExploredClass, type Memory, sleep, spin, type Thread } from "../explorer.js";
import { loadVariant, type Mutant } from "../variants.js";

type Entry = Tables.InFlightEntry;

/** What scenarios use of src/inbox, its coloured members as generators. */
export interface Inbox {
  readonly initialiseRing: typeof Rings.initialiseRing;
  readonly ringRegionBytes: typeof Rings.ringRegionBytes;
  readonly RingProducer: ExploredClass<typeof Rings.RingProducer, "claim" | "publish" | "wantRoom">;
  readonly RingConsumer: ExploredClass<
    typeof Rings.RingConsumer,
    "peek" | "release" | "takeWant" | "isEmpty" | "refresh"
  >;
  readonly OutgoingRecord: typeof OutgoingRecord;
  readonly PayloadWriter: typeof PayloadWriter;
  readonly TakenRecord: typeof TakenRecord;
  readonly RecordKind: typeof Records.RecordKind;
  readonly readySetWords: typeof ReadySets.readySetWords;
  readonly ReadySet: ExploredClass<typeof ReadySets.ReadySet, "mark" | "restore" | "isMarked">;
  readonly CollectedReadySet: ExploredClass<typeof ReadySets.CollectedReadySet, "mark" | "collect" | "next">;
  readonly SharedReadySet: ExploredClass<
    typeof ReadySets.SharedReadySet,
    "mark" | "unmark" | "next" | "nextFrom" | "tidy"
  >;
  readonly envRegionWords: typeof Parkings.envRegionWords;
  readonly Parking: ExploredClass<typeof Parkings.Parking, "unpark" | "unparkOne" | "notifyUnconditionally">;
  readonly Parker: ExploredClass<typeof Parkings.Parker, "announce" | "retract">;
  readonly LoopBell: ExploredClass<typeof Parkings.LoopBell, "ring">;
  readonly GroupBell: ExploredClass<typeof Parkings.GroupBell, "ring">;
  readonly Doorbell: ExploredClass<typeof Inboxes.Doorbell, "press">;
  readonly InboxProducer: ExploredClass<typeof Inboxes.InboxProducer, "post" | "flush" | "refill">;
  readonly PinnedInboxConsumer: ExploredClass<typeof Inboxes.PinnedInboxConsumer, "take">;
  readonly SharedInboxConsumer: ExploredClass<typeof Inboxes.SharedInboxConsumer, "take">;
  readonly lockOwner: typeof Inboxes.lockOwner;
  readonly releaseDeadLock: (words: Int32Array, ringBase: number, owner: number) => Thread<boolean>;
  readonly InFlightTable: ExploredClass<
    typeof Tables.InFlightTable,
    "claim" | "publishTaking" | "publishTaken" | "free"
  >;
  readonly readInFlightEntries: (words: Int32Array, base: number) => Thread<Entry[]>;
  readonly isVoidEntry: (entry: Entry, words: Int32Array, ringBase: number, owner: number | null) => Thread<boolean>;
  readonly AskTable: ExploredClass<typeof AskTables.AskTable, "open" | "cancel">;
  readonly AskTableView: ExploredClass<typeof AskTables.AskTableView, "isWaiting">;
  readonly LoopQueues: ExploredClass<
    typeof Queues.LoopQueues,
    "joinShared" | "ringSibling" | "hasWork" | "park" | "unpark" | "saturate" | "reopen" | "spin"
  >;
  readonly SpillBudget: typeof Spills.SpillBudget;
  readonly SpillTotal: typeof Spills.SpillTotal;
}

/** Its ready sets are transformed like everything else. */
export type LoopQueues = Omit<InstanceType<Inbox["LoopQueues"]>, "own" | "shared"> & {
  readonly own: InstanceType<Inbox["CollectedReadySet"]>;
  readonly shared: InstanceType<Inbox["SharedReadySet"]>;
};
export type InFlightTable = InstanceType<Inbox["InFlightTable"]>;
export type SharedConsumer = InstanceType<Inbox["SharedInboxConsumer"]>;
export type PinnedConsumer = InstanceType<Inbox["PinnedInboxConsumer"]>;
export type Producer = InstanceType<Inbox["InboxProducer"]>;

export function inboxVariant(mutant?: Mutant): Inbox {
  return mutant === undefined ? loadVariant<Inbox>("shipped") : loadVariant<Inbox>(`mutant-${mutant.name}`, [mutant]);
}

/** The one endpoint of a scenario, and the smallest ready set there is. */
export const ENDPOINT = 1;
const MEMBERS = 1_024;
const LOOPS_MAX = 4;
const ENTRIES = 4;
/** Four header-only records. */
export const CAPACITY_BYTES = 128;
/** Rewind as soon as one record has passed. */
export const REWIND_BYTES = 32;

/** Rooms for more than any scenario needs: they never decide anything here. */
const NO_LIMIT = { messagesMax: 1_000, bytesMax: 1_000_000 };

/** The shared memory of a scenario: regions by name, so that traces can be read. */
export interface Places {
  readonly inbox: Inbox;
  readonly ring: Segment;
  readonly env: Int32Array;
  readonly zeroReady: Int32Array;
  readonly groupReady: Int32Array;
  readonly asks: Int32Array;
  readonly loops: readonly LoopPlaces[];
}

interface LoopPlaces {
  readonly control: Int32Array;
  readonly ready: Int32Array;
  readonly entries: Int32Array;
}

export function makePlaces(inbox: Inbox, memory: Memory, loopCount: number, position = 0): Places {
  const ring = segmentOf(memory.words("ring", inbox.ringRegionBytes(CAPACITY_BYTES) / 4));
  inbox.initialiseRing(ring.words, 0, position);
  return {
    inbox,
    ring,
    env: memory.words("env", inbox.envRegionWords(LOOPS_MAX)),
    zeroReady: memory.words("zero-ready", inbox.readySetWords(MEMBERS)),
    groupReady: memory.words("group-ready", inbox.readySetWords(MEMBERS)),
    asks: memory.words("asks", 4),
    loops: Array.from({ length: loopCount }, (_, i) => ({
      control: memory.words(`control-${i + 1}`, LOOP_CONTROL_WORDS),
      ready: memory.words(`ready-${i + 1}`, inbox.readySetWords(MEMBERS)),
      entries: memory.words(`entries-${i + 1}`, TABLE_ENTRIES + ENTRIES * ENTRY_WORDS),
    })),
  };
}

function segmentOf(words: Int32Array): Segment {
  const buffer = words.buffer as SharedArrayBuffer;
  return { index: 0, buffer, words, bytes: new Uint8Array(buffer), longs: new BigInt64Array(buffer) };
}

function ringPlace(places: Places): { segment: Segment; base: number; capacityBytes: number } {
  return { segment: places.ring, base: 0, capacityBytes: CAPACITY_BYTES };
}

function parkingOf(places: Places): InstanceType<Inbox["Parking"]> {
  return new places.inbox.Parking(places.env, 0, LOOPS_MAX);
}

/** Loop 0's side of the Inbox. `shared`: several loops serve it. */
export function makeProducer(places: Places, shared: boolean): Producer {
  const { inbox } = places;
  const parking = parkingOf(places);
  const bell = shared
    ? new inbox.GroupBell(parking, places.ring.words, RING_OPEN, () => {})
    : new inbox.LoopBell(parking, 1);
  const ready = shared ? places.groupReady : (places.loops[0] as LoopPlaces).ready;
  const doorbell = new inbox.Doorbell(new inbox.ReadySet(ready, 0, MEMBERS), ENDPOINT, bell);
  const budget = new inbox.SpillBudget(NO_LIMIT, new inbox.SpillTotal(NO_LIMIT.bytesMax));
  return new inbox.InboxProducer(ringPlace(places), doorbell, new inbox.PayloadWriter(SCRATCH), budget, REWIND_BYTES);
}

const SCRATCH = new Uint8Array(64);

/** A record that carries `id` where a handler would find it. */
export function makeRecord(places: Places, id: number, askGeneration = 0): OutgoingRecord {
  const record = new places.inbox.OutgoingRecord().setHeaderOnly(places.inbox.RecordKind.SEND, -1, askGeneration);
  record.endpointGeneration = id;
  return record;
}

export interface MessageLoopParts {
  readonly loop: number;
  readonly queues: LoopQueues;
  readonly parker: InstanceType<Inbox["Parker"]>;
  readonly entries: InFlightTable;
  readonly consumer: SharedConsumer | PinnedConsumer;
  readonly record: TakenRecord;
}

/** A message loop's objects. A shared Inbox is joined by `join`, which is the thread's first step. */
export function makeLoop(places: Places, loop: number, shared: boolean): MessageLoopParts {
  const { inbox } = places;
  const place = places.loops[loop - 1] as LoopPlaces;
  const parking = parkingOf(places);
  const parker = new inbox.Parker(places.env, 0, loop, () => {});
  const sharedReady = new inbox.SharedReadySet(places.groupReady, 0, MEMBERS);
  const own = new inbox.CollectedReadySet(place.ready, 0, MEMBERS);
  const options = { loop, controlWords: place.control, control: 0, own, shared: sharedReady, parking, parker };
  const queues = new inbox.LoopQueues(options) as unknown as LoopQueues;
  const zero = new inbox.Doorbell(
    new inbox.ReadySet(places.zeroReady, 0, MEMBERS),
    ENDPOINT,
    new inbox.LoopBell(parking, 0),
  );
  const owner = inbox.lockOwner(loop, 1);
  const consumer = shared
    ? new inbox.SharedInboxConsumer(ENDPOINT, ringPlace(places), owner, zero, sharedReady)
    : new inbox.PinnedInboxConsumer(ENDPOINT, ringPlace(places), zero);
  if (!shared) own.include(ENDPOINT);
  const entries = new inbox.InFlightTable(place.entries, 0, ENTRIES);
  return { loop, queues, parker, entries, consumer, record: new inbox.TakenRecord(64) };
}

export type { Explored };
export { LINE_WORDS, RING_HEAD, sleep, spin };
