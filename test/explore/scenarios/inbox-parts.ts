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
  RING_DATA,
  RING_HEAD,
  RING_HEADER_WORDS,
  RING_OPEN,
  TABLE_ENTRIES,
} from "../../../dist/src/inbox/layout.js";
import type * as Queues from "../../../dist/src/inbox/loop-queues.js";
import { MAILBOX_MEMBER } from "../../../dist/src/inbox/loop-queues.js";
import type * as Parkings from "../../../dist/src/inbox/parking.js";
import type * as ReadySets from "../../../dist/src/inbox/ready-set.js";
import type * as Records from "../../../dist/src/inbox/record.js";
import type { OutgoingRecord, PayloadWriter, TakenRecord } from "../../../dist/src/inbox/record.js";
import type * as Rings from "../../../dist/src/inbox/ring.js";
import { mapSegment, type Segment } from "../../../dist/src/inbox/segment.js";
import type * as Spills from "../../../dist/src/inbox/spill-queue.js";
import { type Explored, type ExploredClass, load, type Memory, sleep, spin, type Thread, write } from "../explorer.js";
import { loadVariant, type Mutant } from "../variants.js";

type Entry = Tables.InFlightEntry;

/** What scenarios use of src/inbox, its coloured members as generators. */
export interface Inbox {
  readonly initialiseRing: typeof Rings.initialiseRing;
  readonly ringDataBytes: typeof Rings.ringDataBytes;
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
  readonly Parking: ExploredClass<
    typeof Parkings.Parking,
    "unpark" | "unparkOne" | "ringOne" | "notifyUnconditionally"
  >;
  readonly Parker: ExploredClass<typeof Parkings.Parker, "announce" | "retract" | "beginSpin">;
  readonly LoopBell: ExploredClass<typeof Parkings.LoopBell, "ring">;
  readonly GroupBell: ExploredClass<typeof Parkings.GroupBell, "ring">;
  readonly Doorbell: ExploredClass<typeof Inboxes.Doorbell, "press">;
  readonly InboxProducer: ExploredClass<typeof Inboxes.InboxProducer, "post" | "flush" | "refill">;
  readonly PinnedInboxConsumer: ExploredClass<typeof Inboxes.PinnedInboxConsumer, "take">;
  readonly SharedInboxConsumer: ExploredClass<typeof Inboxes.SharedInboxConsumer, "take">;
  readonly RecordReader: ExploredClass<typeof Inboxes.RecordReader, "read" | "peek" | "release" | "claim">;
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
    | "joinShared"
    | "leaveShared"
    | "ringSibling"
    | "hasWork"
    | "park"
    | "parkForMailbox"
    | "unpark"
    | "saturate"
    | "reopen"
    | "spin"
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
export type Reader = InstanceType<Inbox["RecordReader"]>;

export function inboxVariant(mutant?: Mutant): Inbox {
  return mutant === undefined ? loadVariant<Inbox>("shipped") : loadVariant<Inbox>(`mutant-${mutant.name}`, [mutant]);
}

/** The one endpoint of a scenario, and the smallest ready set there is. */
export const ENDPOINT = 1;
const MEMBERS = 1_024;
export const LOOPS_MAX = 4;
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
  readonly capacityBytes: number;
  readonly ring: Segment;
  readonly env: Int32Array;
  readonly zeroReady: Int32Array;
  readonly groupReady: Int32Array;
  readonly asks: Int32Array;
  readonly loops: readonly LoopPlaces[];
}

export interface LoopPlaces {
  readonly control: Int32Array;
  readonly ready: Int32Array;
  readonly entries: Int32Array;
  /** Empty where the scenario asked for none. */
  readonly mailbox: Segment;
  readonly outbound: Segment;
  /** What stands elsewhere in the product, so that threads of a scenario can see it: the words below. */
  readonly notes: Int32Array;
}

/** The regions that are a loop's own begin anew with its next incarnation; nobody else looks at them meanwhile. */
export function emptyRegions(places: Places, loop: number): void {
  const { entries, ready, mailbox, outbound } = loopPlaces(places, loop);
  for (const words of [entries, ready]) for (let word = 0; word < words.length; word++) write(words, word, 0);
  for (const { words } of [mailbox, outbound]) if (words.length > 0) places.inbox.initialiseRing(words, 0);
}

/** Note: one-way messages that the loop has counted as handled. */
export const HANDLED = 0;
/** Note: 1 once the loop's thread has exited, 2 once loop 0 has started the next. */
export const EXITED = 1;

export interface PlacesOptions {
  /** Of every ring of the scenario. Default four header-only records. */
  readonly capacityBytes?: number;
  /** Where the Inbox starts. */
  readonly position?: number;
  readonly mailbox?: boolean;
  readonly outbound?: boolean;
}

export function makePlaces(
  inbox: Inbox,
  memory: Memory,
  loopCount: number,
  { capacityBytes = CAPACITY_BYTES, position = 0, mailbox = false, outbound = false }: PlacesOptions = {},
): Places {
  const makeRing = (name: string, wanted: boolean, at = 0): Segment => {
    if (!wanted) return segmentOf(memory.words(name, 0));
    const ring = segmentOf(memory.words(name, RING_HEADER_WORDS + inbox.ringDataBytes(capacityBytes) / 4));
    ring.words[RING_DATA] = RING_HEADER_WORDS;
    inbox.initialiseRing(ring.words, 0, at);
    return ring;
  };
  return {
    inbox,
    capacityBytes,
    ring: makeRing("ring", true, position),
    env: memory.words("env", inbox.envRegionWords(LOOPS_MAX)),
    zeroReady: memory.words("zero-ready", inbox.readySetWords(MEMBERS)),
    groupReady: memory.words("group-ready", inbox.readySetWords(MEMBERS)),
    asks: memory.words("asks", 4),
    loops: Array.from({ length: loopCount }, (_, i) => ({
      control: memory.words(`control-${i + 1}`, LOOP_CONTROL_WORDS),
      ready: memory.words(`ready-${i + 1}`, inbox.readySetWords(MEMBERS)),
      entries: memory.words(`entries-${i + 1}`, TABLE_ENTRIES + ENTRIES * ENTRY_WORDS),
      mailbox: makeRing(`mailbox-${i + 1}`, mailbox),
      outbound: makeRing(`outbound-${i + 1}`, outbound),
      notes: memory.words(`notes-${i + 1}`, 4),
    })),
  };
}

function segmentOf(words: Int32Array): Segment {
  const buffer = words.buffer as SharedArrayBuffer;
  return { ...mapSegment({ index: 0, buffer }), words };
}

export interface RingAt {
  readonly segment: Segment;
  readonly base: number;
  readonly capacityBytes: number;
}

function placeOf(places: Places, segment: Segment): RingAt {
  return { segment, base: 0, capacityBytes: places.capacityBytes };
}

export function loopPlaces(places: Places, loop: number): LoopPlaces {
  return places.loops[loop - 1] as LoopPlaces;
}

export function parkingOf(places: Places): InstanceType<Inbox["Parking"]> {
  return new places.inbox.Parking(places.env, 0, LOOPS_MAX);
}

/** Loop 0's side of the Inbox. `shared`: several loops serve it, and `onRing` is told of its bells. */
export function makeProducer(places: Places, shared: boolean, onRing: () => void = () => {}): Producer {
  const { inbox } = places;
  const parking = parkingOf(places);
  const bell = shared
    ? new inbox.GroupBell(parking, places.ring.words, RING_OPEN, onRing)
    : new inbox.LoopBell(parking, 1);
  const ready = shared ? places.groupReady : loopPlaces(places, 1).ready;
  return producerOf(places, places.ring, new inbox.Doorbell(new inbox.ReadySet(ready, 0, MEMBERS), ENDPOINT, bell));
}

function producerOf(places: Places, segment: Segment, doorbell: object): Producer {
  const { inbox } = places;
  const budget = new inbox.SpillBudget(NO_LIMIT, new inbox.SpillTotal(NO_LIMIT.bytesMax));
  const writer = new inbox.PayloadWriter(SCRATCH);
  return new inbox.InboxProducer(placeOf(places, segment), doorbell, writer, budget, REWIND_BYTES);
}

/** Rings loop 0 for `member` of its ready set. */
export function zeroDoorbell(places: Places, member: number): InstanceType<Inbox["Doorbell"]> {
  const { inbox } = places;
  const set = new inbox.ReadySet(places.zeroReady, 0, MEMBERS);
  return new inbox.Doorbell(set, member, new inbox.LoopBell(parkingOf(places), 0));
}

/** Rings a loop for its mailbox: a record has come, or its outbound ring has room. */
export function mailboxDoorbell(places: Places, loop: number): InstanceType<Inbox["Doorbell"]> {
  const { inbox } = places;
  const set = new inbox.ReadySet(loopPlaces(places, loop).ready, 0, MEMBERS);
  return new inbox.Doorbell(set, MAILBOX_MEMBER, new inbox.LoopBell(parkingOf(places), loop));
}

/** What loop 0 is rung for, beside ENDPOINT: room in the Inbox. Each in a leaf word of its own, as in a large env. */
const MAILBOX_ROOM = 33;
export const OUTBOUND = 64;

/** Loop 0 as seen by the others. */
export interface LoopZeroParts {
  readonly parker: InstanceType<Inbox["Parker"]>;
  readonly ready: InstanceType<Inbox["CollectedReadySet"]>;
  readonly record: TakenRecord;
  /** By loop - 1; of use only where the scenario has such rings. */
  readonly mailboxes: readonly Producer[];
  readonly outbound: readonly Reader[];
}

export function makeLoopZero(places: Places): LoopZeroParts {
  const { inbox, loops } = places;
  const ready = new inbox.CollectedReadySet(places.zeroReady, 0, MEMBERS);
  ready.include(OUTBOUND + loops.length);
  return {
    parker: new inbox.Parker(places.env, 0, 0, () => {}),
    ready,
    record: new inbox.TakenRecord(64),
    mailboxes: loops.map(({ mailbox }, i) => producerOf(places, mailbox, mailboxDoorbell(places, i + 1))),
    outbound: loops.map(
      ({ outbound }, i) => new inbox.RecordReader(placeOf(places, outbound), mailboxDoorbell(places, i + 1)),
    ),
  };
}

/**
 * Loop 0 sleeps until it is rung. Whatever for: the caller looks at everything, which is what a scenario can afford.
 * `notes`: of a loop whose exit is news too, an event that is never lost.
 */
export function* awaitBell({ parker, ready }: LoopZeroParts, notes?: Int32Array): Thread {
  yield* parker.announce();
  yield* ready.collect();
  const exited = notes !== undefined && (yield* load(notes, EXITED)) === 1;
  let member = yield* ready.next();
  if (member === -1 && !exited) {
    yield* sleep();
    yield* ready.collect();
    member = yield* ready.next();
  }
  for (; member !== -1; member = yield* ready.next()) ready.settle(member);
  yield* parker.retract();
}

const SCRATCH = new Uint8Array(64);

/** A record that carries `id` where a handler would find it. */
export function makeRecord(places: Places, id: number, askGeneration = 0): OutgoingRecord {
  const record = new places.inbox.OutgoingRecord().setHeaderOnly(places.inbox.RecordKind.SEND, -1, askGeneration);
  record.endpointGeneration = id;
  return record;
}

/** The same with the id where an in-flight entry keeps it, so that recovery can tell whose entry it is. */
export function makeTracedRecord(places: Places, id: number, kind = 1, askSlot = -1): OutgoingRecord {
  const record = makeRecord(places, id, id);
  record.kind = kind;
  record.askSlot = askSlot;
  return record;
}

export interface MessageLoopParts {
  readonly loop: number;
  readonly queues: LoopQueues;
  readonly parker: InstanceType<Inbox["Parker"]>;
  readonly entries: InFlightTable;
  readonly consumer: SharedConsumer | PinnedConsumer;
  readonly record: TakenRecord;
  /** Of use only where the scenario has such rings. */
  readonly mailbox: Reader;
  readonly outbound: Producer;
}

/** A message loop's objects. A shared Inbox is joined by `join`, which is the thread's first step. */
export function makeLoop(places: Places, loop: number, shared: boolean, epoch = 1): MessageLoopParts {
  const { inbox } = places;
  const place = loopPlaces(places, loop);
  const parking = parkingOf(places);
  const parker = new inbox.Parker(places.env, 0, loop, () => {});
  const sharedReady = new inbox.SharedReadySet(places.groupReady, 0, MEMBERS);
  const own = new inbox.CollectedReadySet(place.ready, 0, MEMBERS);
  const options = { loop, controlWords: place.control, control: 0, own, shared: sharedReady, parking, parker };
  const queues = new inbox.LoopQueues(options) as unknown as LoopQueues;
  const zero = zeroDoorbell(places, ENDPOINT);
  const at = placeOf(places, places.ring);
  const consumer = shared
    ? new inbox.SharedInboxConsumer(ENDPOINT, at, inbox.lockOwner(loop, epoch), zero, sharedReady)
    : new inbox.PinnedInboxConsumer(ENDPOINT, at, zero);
  if (!shared) own.include(ENDPOINT);
  return {
    loop,
    queues,
    parker,
    entries: new inbox.InFlightTable(place.entries, 0, ENTRIES),
    consumer,
    record: new inbox.TakenRecord(64),
    mailbox: new inbox.RecordReader(placeOf(places, place.mailbox), zeroDoorbell(places, MAILBOX_ROOM)),
    outbound: producerOf(places, place.outbound, zeroDoorbell(places, OUTBOUND + loop)),
  };
}

export type { Explored };
export { LINE_WORDS, RING_HEAD, sleep, spin };
