/**
 * The shared memory of an env as one message loop maps it: segments, and the pieces of src/inbox bound to them.
 */
import { LOOPS_MAX } from "../common/limits.js";
import { AskTableView } from "../inbox/ask-table.js";
import { BodyBlocks } from "../inbox/body-blocks.js";
import { Doorbell, type RingPlace } from "../inbox/inbox.js";
import { LoopBell, Parking } from "../inbox/parking.js";
import { CollectedReadySet, ReadySet, SharedReadySet } from "../inbox/ready-set.js";
import { mapSegment, type RingRegion, type Segment, type SegmentHandle } from "../inbox/segment.js";
import { StructureLog } from "../inbox/structure-log.js";
import {
  ENDPOINT_MEMBERS,
  inboxRoomMember,
  LOOP_ZERO_MEMBERS,
  mailboxRoomMember,
  outboundMember,
} from "./loop-members.js";
import type { LoopStart } from "./loop-protocol.js";

export class LoopMemory {
  readonly loop: number;
  readonly epoch: number;
  readonly parking: Parking;
  readonly ownReady: CollectedReadySet;
  readonly sharedReady: SharedReadySet;
  readonly asks: AskTableView;
  readonly structures: StructureLog;
  readonly blocks: BodyBlocks;
  readonly envWords: Int32Array;
  readonly envRegion: number;
  readonly #loopZeroReady: ReadySet;
  readonly #loopZeroBell: LoopBell;
  readonly #segments = new Map<number, Segment>();

  constructor(start: LoopStart) {
    this.loop = start.loop;
    this.epoch = start.epoch;
    for (const handle of start.segments) this.map(handle);
    const { env, loopZeroReady, sharedReady, asks, structures, blocks } = start.envRegions;
    this.blocks = new BodyBlocks(this.segment(blocks.segment), blocks);
    this.structures = new StructureLog(this.segment(structures.segment), structures.word);
    const { ready } = start.loopRegions;
    this.envWords = this.segment(env.segment).words;
    this.envRegion = env.word;
    this.parking = new Parking(this.envWords, env.word, LOOPS_MAX);
    this.ownReady = new CollectedReadySet(this.segment(ready.segment).words, ready.word, ENDPOINT_MEMBERS);
    this.sharedReady = new SharedReadySet(this.segment(sharedReady.segment).words, sharedReady.word, ENDPOINT_MEMBERS);
    this.#loopZeroReady = new ReadySet(
      this.segment(loopZeroReady.segment).words,
      loopZeroReady.word,
      LOOP_ZERO_MEMBERS,
    );
    this.#loopZeroBell = new LoopBell(this.parking, 0);
    this.asks = new AskTableView(this.segment(asks.segment).words, asks.word);
  }

  /** Views of a segment, made once per thread. */
  map(handle: SegmentHandle): Segment {
    let segment = this.#segments.get(handle.index);
    if (segment === undefined) {
      segment = mapSegment(handle);
      this.#segments.set(handle.index, segment);
    }
    return segment;
  }

  segment(index: number): Segment {
    return this.#segments.get(index) as Segment;
  }

  place(ring: RingRegion): RingPlace {
    return { segment: this.segment(ring.segment), base: ring.word, capacityBytes: ring.capacityBytes };
  }

  /** Tells loop 0 of news in this loop's outbound ring. */
  outboundDoorbell(): Doorbell {
    return new Doorbell(this.#loopZeroReady, outboundMember(this.loop), this.#loopZeroBell);
  }

  /** Tells loop 0 of room in this loop's mailbox. */
  mailboxRoomDoorbell(): Doorbell {
    return new Doorbell(this.#loopZeroReady, mailboxRoomMember(this.loop), this.#loopZeroBell);
  }

  /** Tells loop 0 of room in an endpoint's Inbox. */
  roomDoorbell(endpoint: number): Doorbell {
    return new Doorbell(this.#loopZeroReady, inboxRoomMember(endpoint), this.#loopZeroBell);
  }
}
