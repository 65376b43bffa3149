/**
 * Handlers' own messages: what message loops send and ask passes loop 0, undecoded. Steps 2, 3 and 8 of the data flow.
 * Main thread only.
 *
 *   loop k ──outbound: message and name──▶ loop 0 ──Inbox──▶ any loop
 *   loop k ◀──mailbox: the answer───────── loop 0 ◀──outbound── that loop
 *
 * An ask has a slot on its loop, where its promise is, and one here, where its endpoint's loops look whether somebody
 * still waits. Loop 0 drains outbound rings whatever else is full: what finds no room waits in a spill queue or fails.
 */
import { receiveMessageOnPort } from "node:worker_threads";
import { assert } from "../common/assert.js";
import { RpcError } from "../common/errors.js";
import { Overflow, PostResult } from "../inbox/inbox.js";
import { OutgoingRecord, RecordFlag, RecordKind, type TakenRecord } from "../inbox/record.js";
import { inboxFull, tooManyAsks } from "./dispatch-errors.js";
import type { EndpointDirectory } from "./endpoint-directory.js";
import { encodeFailure } from "./failure.js";
import { AskEnd, targetHint, targetNameBytes } from "./forwarded-record.js";
import { EndpointState, type HostedEndpoint } from "./hosted-endpoint.js";
import type { Body } from "./loop-protocol.js";
import type { LoopZero } from "./loop-zero.js";
import type { LoopZeroEndpoints } from "./loop-zero-endpoints.js";
import { failureOf, MailboxAnswers } from "./mailbox-answers.js";
import type { MessageLoops } from "./message-loops.js";
import { type MessagePosting, type Payload, receivedPayload } from "./message-posting.js";
import type { OutstandingAsks } from "./outstanding-asks.js";
import type { Poster } from "./poster.js";
import { RefTarget } from "./ref-poster.js";
import type { RemoteGateway } from "./remote-gateway.js";
import type { LoopCodecs } from "./shared-shapes.js";

/** What handlers ask of the env itself. */
export interface LoopRequests {
  /** Begins to stop an endpoint. */
  stop(endpoint: HostedEndpoint): void;
  /** Begins to shut the env down; `timeoutMs` 0: the default. */
  shutdown(timeoutMs: number): void;
}

/** How an ask has ended whose answer is a record of this kind; a FAILURE: failed. */
const OUTCOMES: Readonly<Record<number, "replied" | "timedOut">> = {
  [RecordKind.REPLY]: "replied",
  [RecordKind.EXPIRED]: "timedOut",
};

export interface ForwarderOptions {
  readonly codecs: LoopCodecs;
  readonly loops: MessageLoops;
  readonly loopZero: LoopZero;
  readonly asks: OutstandingAsks;
  readonly directory: EndpointDirectory;
  readonly poster: Poster;
  readonly posting: MessagePosting;
  readonly zeroEndpoints: LoopZeroEndpoints;
  readonly requests: LoopRequests;
  readonly gateway: RemoteGateway;
  /** Why what a ref means takes nothing. */
  readonly refusal: (target: RefTarget) => RpcError;
  /** A one-way message was refused for good. `message` decodes it. */
  readonly onDeadLetter: (endpoint: string, error: RpcError, message: () => unknown) => void;
}

/** An ask that its asker has given up, to be cancelled with others of its batch. */
interface EndedAsk {
  readonly slot: number;
  readonly generation: number;
  readonly outcome: "timedOut" | "aborted";
}

/** Somebody on a message loop who waits for room in an Inbox. */
interface ReadyWaiter {
  readonly loop: number;
  readonly generation: number;
  readonly controller: AbortController;
}

export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #asks: OutstandingAsks;
  readonly #loops: MessageLoops;
  readonly #record = new OutgoingRecord();
  readonly #utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  /** By loop, then by that loop's own ask slot: the slot here. */
  readonly #slots: number[][] = [];
  #ended: EndedAsk[] = [];
  readonly #answers: MailboxAnswers;
  /** By loop and slot, see `readyKey`. */
  readonly #waiters = new Map<number, ReadyWaiter>();

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#asks = options.asks;
    this.#loops = options.loops;
    this.#answers = new MailboxAnswers(options.codecs.codec, options.loops, options.loopZero);
    this.#asks.failAsker = (loop, slot, generation, endpoint, error) => {
      this.#answers.fail(loop, slot, generation, options.directory.nameOf(endpoint), error);
    };
    this.#asks.failRemote = (asker, endpoint, error) => {
      const codec = options.codecs.networkCodec;
      encodeFailure(codec, failureOf(error, options.directory.nameOf(endpoint)));
      asker.answer(true, codec.payloadCodec, codec.bytes, codec.length);
    };
  }

  /** A record that a loop wrote for a handler of its own, or for whoever asks there. */
  onRecord(loop: number, record: TakenRecord): void {
    switch (record.kind) {
      case RecordKind.ASK_ENDED:
        this.#askEnded(loop, record);
        break;
      case RecordKind.READY:
        this.#ready(loop, record);
        break;
      case RecordKind.STOP_REQUEST:
        this.#stop(record);
        break;
      case RecordKind.SHUTDOWN_REQUEST:
        this.#options.requests.shutdown(record.sender);
        break;
      default:
        this.#forward(loop, record);
    }
  }

  /** The answer to an ask of a handler: its bytes as they came, to the loop that asked. */
  passOn(from: number, record: TakenRecord): void {
    const asks = this.#asks;
    const slot = record.askSlot;
    const to = asks.askerLoop(slot);
    const askerSlot = asks.askerSlot(slot);
    const askerGeneration = asks.askerGeneration(slot);
    const remote = asks.remoteAsker(slot);
    if (remote !== undefined && record.kind === RecordKind.EXPIRED) {
      asks.reject(slot, this.#options.poster.timedOut(slot, false), "timedOut");
      return;
    }
    asks.endForwarded(slot, OUTCOMES[record.kind] ?? "failed");
    // Its body must leave the port also when nobody wants it any more.
    const body = (record.flags & RecordFlag.LARGE) === 0 ? null : this.#takeBody(from);
    if (remote !== undefined) {
      const bytes = body?.bytes ?? record.scratch;
      const length = body?.bytes.length ?? record.payloadBytes;
      remote.answer(record.kind === RecordKind.FAILURE, record.codec, bytes, length);
      return;
    }
    if (to === 0) return;
    const payload = payloadOf(record, record.payloadBytes, body);
    this.#answers.answer(to, record.kind, askerSlot, askerGeneration, payload);
  }

  /** A message loop has died: nobody waits for what its handlers had asked. */
  onLoopDied(loop: number): void {
    const slots = this.#asks.askedBy(loop);
    for (const slot of slots) this.#asks.forgetAsker(slot);
    const gone = new RpcError("ERR_RPC_WORKER_CRASHED", `message loop ${loop}, whose handler had asked, died`);
    this.#options.poster.cancelAsks(slots, () => gone, "failed");
    for (const waiter of this.#waiters.values()) if (waiter.loop === loop) waiter.controller.abort(gone);
    this.#options.gateway.onLoopDied(loop);
    delete this.#slots[loop];
  }

  // ── Messages ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #forward(loop: number, record: TakenRecord): void {
    const body = (record.flags & RecordFlag.LARGE) === 0 ? null : this.#takeBody(loop);
    if ((record.flags & RecordFlag.REMOTE) !== 0) {
      this.#depart(loop, record, payloadOf(record, messageBytes(record), body));
      return;
    }
    const endpoint = this.#runningHinted(record) ?? this.#options.directory.accepting(this.#target(record));
    const out = this.#record.setHeaderOnly(record.kind, -1);
    out.deadline = record.deadline;
    out.enqueuedAt = record.enqueuedAt;
    out.sender = loop;
    const payload = payloadOf(record, messageBytes(record), body);
    if (endpoint === null) this.#refuse(loop, record, payload);
    else if (record.askSlot !== -1) this.#forwardAsk(loop, record, endpoint, payload);
    else this.#forwardOneWay(endpoint, payload);
  }

  #forwardAsk(loop: number, record: TakenRecord, endpoint: HostedEndpoint, payload: Payload): void {
    const { askSlot, askGeneration, deadline } = record;
    const { asks: counts, id, name } = endpoint;
    const asks = this.#asks;
    const out = this.#record;
    counts.sent++;
    const slot = asks.openForwarded(id, counts, deadline, loop, askSlot, askGeneration);
    if (slot === -1) {
      counts.rejected++;
      this.#answers.fail(loop, askSlot, askGeneration, name, tooManyAsks(name, asks.count));
      return;
    }
    out.askSlot = slot;
    out.askGeneration = asks.generation(slot);
    this.#slotsOf(loop)[askSlot] = slot;
    if (this.#options.posting.post(endpoint, out, Overflow.SPILL, payload) === PostResult.FULL) {
      asks.reject(slot, inboxFull(endpoint), "rejected");
    } else {
      this.#options.poster.watchAsks();
    }
  }

  /** Its sender was told that it is accepted: what finds no room now is a dead letter. */
  #forwardOneWay(endpoint: HostedEndpoint, payload: Payload): void {
    const out = this.#record;
    const { oneWays } = endpoint;
    if (out.kind === RecordKind.BROADCAST && endpoint.shared) {
      const lost = endpoint.loops.length - this.#options.posting.broadcast(endpoint, payload, out.enqueuedAt);
      oneWays.accepted += lost;
      oneWays.deadLettered += lost;
      for (let i = 0; i < lost; i++) this.#deadLetter(endpoint.name, inboxFull(endpoint), payload);
      return;
    }
    if (out.kind === RecordKind.BROADCAST) out.kind = RecordKind.SEND;
    oneWays.accepted++;
    if (this.#options.posting.post(endpoint, out, Overflow.SPILL, payload) !== PostResult.FULL) return;
    oneWays.deadLettered++;
    this.#deadLetter(endpoint.name, inboxFull(endpoint), payload);
  }

  /** To an endpoint on another node. */
  #depart(loop: number, record: TakenRecord, payload: Payload): void {
    const { gateway } = this.#options;
    const { kind, deadline, askSlot, askGeneration } = record;
    const target = this.#target(record);
    const message = { kind, deadline, payload };
    if (askSlot === -1) gateway.send(target, message);
    else gateway.ask(target, message, this.#answers.asker(loop, askSlot, askGeneration, target.name));
  }

  #slotsOf(loop: number): number[] {
    const slots = this.#slots[loop] ?? [];
    this.#slots[loop] = slots;
    return slots;
  }

  /** The endpoint that the sender had last seen under the name, if it is still the one. */
  #runningHinted(record: TakenRecord): HostedEndpoint | null {
    const hinted = this.#options.directory.get(targetHint(record.sender));
    if (hinted === undefined || hinted.generation !== record.endpointGeneration) return null;
    return hinted.state === EndpointState.RUNNING ? hinted : null;
  }

  #target(record: TakenRecord): RefTarget {
    const { sender, payloadBytes, endpointGeneration: generation } = record;
    const remote = (record.flags & RecordFlag.REMOTE) !== 0;
    const nameStart = messageBytes(record);
    const nameEnd = nameStart + targetNameBytes(sender);
    const name = this.#utf8.decode(record.scratch.subarray(nameStart, nameEnd));
    const place = remote ? this.#utf8.decode(record.scratch.subarray(nameEnd, payloadBytes)) : null;
    return new RefTarget({ name, id: remote ? 0 : targetHint(sender), generation, replicas: 1 }, place);
  }

  /** There is no running endpoint that it could go to. */
  #refuse(loop: number, record: TakenRecord, payload: Payload): void {
    const target = this.#target(record);
    const error = this.#options.refusal(target);
    if (record.askSlot !== -1) {
      this.#options.poster.countRefused(target);
      this.#answers.fail(loop, record.askSlot, record.askGeneration, target.name, error);
      return;
    }
    this.#deadLetter(target.name, error, payload);
  }

  #deadLetter(endpoint: string, error: RpcError, payload: Payload): void {
    const { payloadCodec, length } = payload;
    const { bytes, attachments } = payload.takeBody();
    const { codec } = this.#options.codecs;
    this.#options.onDeadLetter(endpoint, error, () => codec.decode(payloadCodec, bytes, length, attachments));
  }

  /** The body of the record that is read now; those of loop 0's own answers do not travel. */
  #takeBody(loop: number): Body {
    const body =
      loop === 0
        ? this.#options.zeroEndpoints.takeAnswer()
        : (receiveMessageOnPort(this.#loops.get(loop).bodyPort) as { message: Body } | undefined)?.message;
    assert(body !== undefined, "a body is on its port before its record is published");
    return body;
  }

  // ── Ends ───────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The asker has settled his promise himself. One scan of what the loops run for all that end in this turn. */
  #askEnded(loop: number, record: TakenRecord): void {
    const { askSlot, askGeneration, sender } = record;
    const timedOut = sender === AskEnd.TIMED_OUT;
    if (this.#options.gateway.giveUp(loop, askSlot, askGeneration, timedOut)) return;
    const slot = this.#slots[loop]?.[askSlot];
    if (slot === undefined || !this.#asks.isAskedBy(slot, loop, askSlot, askGeneration)) {
      const waiter = this.#waiters.get(readyKey(loop, askSlot));
      if (waiter?.generation === askGeneration) waiter.controller.abort();
      return;
    }
    this.#asks.forgetAsker(slot);
    const generation = this.#asks.generation(slot);
    this.#ended.push({ slot, generation, outcome: timedOut ? "timedOut" : "aborted" });
    if (this.#ended.length === 1) queueMicrotask(() => this.#cancelEnded());
  }

  #cancelEnded(): void {
    const ended = this.#ended.filter(({ slot, generation }) => this.#asks.isOpen(slot, generation));
    this.#ended = [];
    for (const why of ["timedOut", "aborted"] as const) {
      const slots = ended.filter(({ outcome }) => outcome === why).map(({ slot }) => slot);
      // The asker knows why; nobody else reads the reason.
      this.#options.poster.cancelAsks(slots, () => null, why);
    }
  }

  #ready(loop: number, record: TakenRecord): void {
    const { askSlot, askGeneration } = record;
    const target = this.#target(record);
    if (target.place !== null) {
      this.#options.gateway.ready(target, this.#answers.asker(loop, askSlot, askGeneration, target.name));
      return;
    }
    const controller = new AbortController();
    const key = readyKey(loop, askSlot);
    this.#waiters.set(key, { loop, generation: askGeneration, controller });
    const done = (answer: () => void): void => {
      if (this.#waiters.get(key)?.controller === controller) this.#waiters.delete(key);
      if (!controller.signal.aborted) answer();
    };
    this.#options.poster.ready(target, Number.POSITIVE_INFINITY, controller.signal).then(
      () => done(() => this.#answers.done(loop, askSlot, askGeneration)),
      (error) => done(() => this.#answers.fail(loop, askSlot, askGeneration, target.name, error)),
    );
  }

  #stop(record: TakenRecord): void {
    const endpoint = this.#options.directory.findMade(this.#target(record).name);
    if (endpoint !== undefined) this.#options.requests.stop(endpoint);
  }
}

function payloadOf(record: TakenRecord, length: number, body: Body | null): Payload {
  if (body === null) return receivedPayload(record.codec, record.scratch, length, null);
  return receivedPayload(record.codec, body.bytes, body.bytes.length, body);
}

function messageBytes({ sender, flags, payloadBytes }: TakenRecord): number {
  const placeBytes = (flags & RecordFlag.REMOTE) === 0 ? 0 : targetHint(sender);
  return payloadBytes - targetNameBytes(sender) - placeBytes;
}

/** Ask slots of a loop are fewer than 2^20. */
function readyKey(loop: number, slot: number): number {
  return loop * 2 ** 20 + slot;
}
