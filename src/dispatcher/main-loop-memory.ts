/**
 * The shared memory of an env as loop 0 owns it: allocates every region and binds the pieces of src/inbox to them.
 */
import { ASKS_OUTSTANDING_MAX, IN_FLIGHT_ENTRIES_PER_LOOP, LOOPS_MAX, RECORD_SHAPES_BYTES } from "../common/limits.js";
import { AskTable } from "../inbox/ask-table.js";
import { BODY_BLOCKS_BYTES, BodyBlocks, FreeBodyBlocks } from "../inbox/body-blocks.js";
import { type Bell, Doorbell, InboxProducer, RecordReader, type RingPlace } from "../inbox/inbox.js";
import {
  COUNTER_WORDS,
  ENTRY_WORDS,
  LOOP_CONTROL_WORDS,
  RING_OPEN,
  TABLE_COUNT,
  TABLE_ENTRIES,
} from "../inbox/layout.js";
import { MAILBOX_MEMBER } from "../inbox/loop-queues.js";
import { envRegionWords, GroupBell, LoopBell, Parker, Parking } from "../inbox/parking.js";
import { CollectedReadySet, ReadySet, readySetWords } from "../inbox/ready-set.js";
import type { PayloadWriter } from "../inbox/record.js";
import { initialiseRing, ringDataBytes } from "../inbox/ring.js";
import {
  type Place,
  type Region,
  type RingRegion,
  type Segment,
  SegmentAllocator,
  type SegmentHandle,
} from "../inbox/segment.js";
import type { SpillBudget } from "../inbox/spill-queue.js";
import { StructureLogOwner } from "../inbox/structure-log.js";
import { ENDPOINT_MEMBERS, LOOP_ZERO_MEMBERS, mailboxRoomMember, outboundMember } from "./loop-members.js";
import type { EnvRegions, LoopRegions } from "./loop-protocol.js";

export class MainLoopMemory {
  readonly regions: EnvRegions;
  readonly parking: Parking;
  readonly ready: CollectedReadySet;
  readonly asks: AskTable;
  readonly structures: StructureLogOwner;
  readonly blocks: BodyBlocks;
  readonly freeBlocks = new FreeBodyBlocks();
  /** Control line and in-flight table of loop 0's own endpoints. */
  readonly loopZero: { readonly control: Region; readonly entries: Region };
  readonly #allocator = new SegmentAllocator();
  readonly #sharedReady: ReadySet;
  /** By loop id, whose memory never changes: the ready set that producers mark, and its bell. */
  readonly #doors: { readonly ready: ReadySet; readonly bell: LoopBell }[] = [];

  constructor() {
    const allocate = (words: number): Region => this.#allocator.allocate(words * 4);
    this.regions = {
      env: allocate(envRegionWords(LOOPS_MAX)),
      loopZeroReady: allocate(readySetWords(LOOP_ZERO_MEMBERS)),
      sharedReady: allocate(readySetWords(ENDPOINT_MEMBERS)),
      asks: allocate(ASKS_OUTSTANDING_MAX),
      structures: this.#allocator.allocate(RECORD_SHAPES_BYTES),
      blocks: this.#allocator.allocate(BODY_BLOCKS_BYTES),
    };
    this.loopZero = {
      control: allocate(LOOP_CONTROL_WORDS),
      entries: allocate(TABLE_ENTRIES + IN_FLIGHT_ENTRIES_PER_LOOP * ENTRY_WORDS),
    };
    const { env, loopZeroReady, sharedReady, asks, structures, blocks } = this.regions;
    this.blocks = new BodyBlocks(this.segment(blocks), blocks);
    this.structures = new StructureLogOwner(this.segment(structures), structures.word);
    this.parking = new Parking(this.segment(env).words, env.word, LOOPS_MAX);
    this.ready = new CollectedReadySet(this.segment(loopZeroReady).words, loopZeroReady.word, LOOP_ZERO_MEMBERS);
    this.#sharedReady = new ReadySet(this.segment(sharedReady).words, sharedReady.word, ENDPOINT_MEMBERS);
    this.asks = new AskTable(this.segment(asks).words, asks.word, ASKS_OUTSTANDING_MAX);
  }

  segment(place: Place): Segment {
    return this.#allocator.segment(place.segment);
  }

  handle(place: Place): SegmentHandle {
    const { index, buffer } = this.segment(place);
    return { index, buffer };
  }

  words(place: Place): Int32Array {
    return this.segment(place).words;
  }

  parker(onBell: () => void): Parker {
    return new Parker(this.words(this.regions.env), this.regions.env.word, 0, onBell);
  }

  allocateRing(capacityBytes: number): RingRegion {
    const ring = this.#allocator.allocateRing(capacityBytes, ringDataBytes(capacityBytes));
    initialiseRing(this.words(ring), ring.word);
    return ring;
  }

  allocateCounters(): Region {
    const region = this.#allocator.allocate(COUNTER_WORDS * 4);
    this.words(region).fill(0, region.word, region.word + COUNTER_WORDS);
    return region;
  }

  release(region: Region): void {
    this.#allocator.release(region);
  }

  releaseRing(ring: RingRegion): void {
    this.#allocator.releaseRing(ring);
  }

  /** The memory of a loop id, which is never given back while its env lives. */
  allocateLoop(ringBytes: number): LoopRegions {
    return {
      control: this.#allocator.allocate(LOOP_CONTROL_WORDS * 4),
      ready: this.#allocator.allocate(readySetWords(ENDPOINT_MEMBERS) * 4),
      // Fresh pages are zero; a region of this size is nobody else's.
      entries: this.#allocator.allocate((TABLE_ENTRIES + IN_FLIGHT_ENTRIES_PER_LOOP * ENTRY_WORDS) * 4),
      mailbox: this.allocateRing(ringBytes),
      outbound: this.allocateRing(ringBytes),
    };
  }

  /** Empty rings, table and ready set for the next incarnation of a loop, whose last thread has exited. */
  initialiseLoop(loop: LoopRegions): void {
    const { control, ready, entries, mailbox, outbound } = loop;
    for (const region of [control, ready]) {
      this.words(region).fill(0, region.word, region.word + region.byteLength / 4);
    }
    const words = this.words(entries);
    const used = TABLE_ENTRIES + (words[entries.word + TABLE_COUNT] as number) * ENTRY_WORDS;
    words.fill(0, entries.word, entries.word + used);
    for (const ring of [mailbox, outbound]) initialiseRing(this.words(ring), ring.word);
  }

  /** Segments that a loop must map before it starts. */
  loopSegments(loop: LoopRegions): SegmentHandle[] {
    const { control, ready, entries, mailbox, outbound } = loop;
    const needed: Place[] = [...Object.values(this.regions), control, ready, entries, mailbox, outbound];
    const handles = new Map<number, SegmentHandle>();
    for (const place of needed) handles.set(place.segment, this.handle(place));
    return [...handles.values()];
  }

  mailboxProducer(loop: number, regions: LoopRegions, writer: PayloadWriter, budget: SpillBudget): InboxProducer {
    return new InboxProducer(
      this.place(regions.mailbox),
      this.#doorbell(MAILBOX_MEMBER, loop, regions),
      writer,
      budget,
    );
  }

  /** Reads a loop's outbound ring; when the loop waits for room there, its mailbox bit tells it. */
  outboundReader(loop: number, regions: LoopRegions): RecordReader {
    // The loop's last incarnation may have died between the two bits of a mark; the next would trust the first (R19).
    this.ready.restore(outboundMember(loop));
    this.ready.restore(mailboxRoomMember(loop));
    return new RecordReader(this.place(regions.outbound), this.#doorbell(MAILBOX_MEMBER, loop, regions));
  }

  /** The Inbox of an endpoint that one loop serves. */
  pinnedProducer(
    endpoint: number,
    ring: RingRegion,
    loop: number,
    regions: LoopRegions,
    writer: PayloadWriter,
    budget: SpillBudget,
  ): InboxProducer {
    return new InboxProducer(this.place(ring), this.#doorbell(endpoint, loop, regions), writer, budget);
  }

  /** The Inbox of an endpoint of loop 0: nobody has to be rung on another thread. */
  ownProducer(ring: RingRegion, doorbell: Bell, writer: PayloadWriter, budget: SpillBudget): InboxProducer {
    return new InboxProducer(this.place(ring), doorbell, writer, budget);
  }

  /** The Inbox of an endpoint that several loops serve. */
  sharedProducer(
    endpoint: number,
    ring: RingRegion,
    writer: PayloadWriter,
    budget: SpillBudget,
    onRing: () => void,
  ): InboxProducer {
    const bell = new GroupBell(this.parking, this.words(ring), ring.word + RING_OPEN, onRing);
    return new InboxProducer(this.place(ring), new Doorbell(this.#sharedReady, endpoint, bell), writer, budget);
  }

  /** Loop 0 as the consumer of an Inbox or a mailbox that no loop serves any more. Nobody waits for its room. */
  backlogReader(ring: RingRegion): RecordReader {
    return new RecordReader(
      this.place(ring),
      new Doorbell(this.ready, outboundMember(0), new LoopBell(this.parking, 0)),
    );
  }

  /** Re-ring: if a shared Inbox is still marked, wakes another loop that is open for it. True while it is marked. */
  reRing(endpoint: number, ring: RingRegion): boolean {
    if (!this.#sharedReady.isMarked(endpoint)) return false;
    this.parking.ringOne(this.words(ring), ring.word + RING_OPEN);
    return true;
  }

  /** After a crash: whatever the dead loop was doing to the bit of a shared Inbox, that is looked at again. */
  restoreShared(endpoint: number): void {
    this.#sharedReady.restore(endpoint);
  }

  place(ring: RingRegion): RingPlace {
    return { segment: this.segment(ring), base: ring.word, capacityBytes: ring.capacityBytes };
  }

  /** Of a member of a loop's own ready set. */
  #doorbell(member: number, loop: number, { ready: { segment, word } }: LoopRegions): Doorbell {
    let door = this.#doors[loop];
    if (door === undefined) {
      const ready = new ReadySet(this.#allocator.segment(segment).words, word, ENDPOINT_MEMBERS);
      door = { ready, bell: new LoopBell(this.parking, loop) };
      this.#doors[loop] = door;
    }
    return new Doorbell(door.ready, member, door.bell);
  }
}
