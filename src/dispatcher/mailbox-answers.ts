/**
 * The answers that handlers on message loops get to their asks: from loop 0 into their loop's mailbox. Step 8 of the data
 * flow. Main thread only.
 */
import { isRpcError } from "../common/errors.js";
import { Overflow, PostResult } from "../inbox/inbox.js";
import { OutgoingRecord, RecordFlag, RecordKind } from "../inbox/record.js";
import type { MessageCodec } from "../rpc/codec.js";
import { BodiesUnderWay } from "./bodies-under-way.js";
import { describeThrown, encodeFailure, type Failure } from "./failure.js";
import type { HostedMessageLoop } from "./hosted-message-loop.js";
import { postBody } from "./loop-protocol.js";
import type { LoopZero } from "./loop-zero.js";
import type { MessageLoops } from "./message-loops.js";
import { type Payload, receivedPayload } from "./message-posting.js";
import type { LoopAsker } from "./remote-gateway.js";

/** The payload of an answer that says all in its header. */
const NOTHING: Payload = receivedPayload(0, new Uint8Array(0), 0, null);

export class MailboxAnswers {
  readonly #codec: MessageCodec;
  readonly #loops: MessageLoops;
  readonly #loopZero: LoopZero;
  readonly #record = new OutgoingRecord();
  readonly #bodies = new WeakMap<HostedMessageLoop, BodiesUnderWay>();

  constructor(codec: MessageCodec, loops: MessageLoops, loopZero: LoopZero) {
    this.#codec = codec;
    this.#loops = loops;
    this.#loopZero = loopZero;
  }

  /** The answer to an ask that `loop` has in that slot of its own. `flags`: REMOTE, if it comes from another node. */
  answer(loop: number, kind: number, slot: number, generation: number, payload: Payload, flags = 0): void {
    this.#record.setHeaderOnly(kind, slot, generation);
    this.#record.flags = flags;
    this.#post(loop, payload);
  }

  /** The answer of nothing but its kind. */
  done(loop: number, slot: number, generation: number): void {
    this.answer(loop, RecordKind.REPLY, slot, generation, NOTHING);
  }

  /** Loop 0 answers by itself: the ask has failed. */
  fail(loop: number, slot: number, generation: number, endpoint: string, error: unknown): void {
    const out = this.#record;
    if (isRpcError(error, "ERR_RPC_TIMEOUT")) {
      // The asker knows his timeout, and makes the text himself.
      out.setHeaderOnly(RecordKind.EXPIRED, slot, generation, error.maybeExecuted ? 1 : 0);
      this.#post(loop, NOTHING);
      return;
    }
    encodeFailure(this.#codec, failureOf(error, endpoint));
    this.answer(loop, RecordKind.FAILURE, slot, generation, this.#codec);
  }

  /** A handler that waits for an answer from another node. */
  asker(loop: number, slot: number, generation: number, endpoint: string): LoopAsker {
    return {
      loop,
      slot,
      generation,
      answer: (failed, payload) => {
        const kind = failed ? RecordKind.FAILURE : RecordKind.REPLY;
        this.answer(loop, kind, slot, generation, payload, RecordFlag.REMOTE);
      },
      fail: (error) => this.fail(loop, slot, generation, endpoint, error),
    };
  }

  /**
   * Posts `#record` into a loop's mailbox. Where its spill is full, the asker gets a failure without payload instead, for
   * which there is always room: he has only so many asks.
   */
  #post(to: number, payload: Payload): void {
    const loop = this.#loops.get(to);
    if (!loop.alive) return;
    const out = this.#record;
    const { mailbox } = loop;
    const { payloadCodec, bytes, length, attachmentBytes } = payload;
    const large = length > mailbox.inlinePayloadBytesMax || attachmentBytes > 0;
    if (!large && payload !== NOTHING) out.setPayload(payloadCodec, bytes, length);
    const bodies = large ? this.#bodiesTo(loop) : null;
    if (bodies?.admits(length + attachmentBytes)) {
      postBody(loop.bodyPort, { ...payload.takeBody(), ticket: out.askSlot });
      const { kind, askSlot, askGeneration, flags } = out;
      out.setHeaderOnly(kind, askSlot, askGeneration, askSlot);
      out.flags = flags | RecordFlag.LARGE;
      out.codec = payloadCodec;
      mailbox.post(out, Overflow.FORCE);
      bodies.add(length + attachmentBytes);
    } else if (large || mailbox.post(out, Overflow.SPILL) === PostResult.FULL) {
      out.setHeaderOnly(RecordKind.FAILURE, out.askSlot, out.askGeneration);
      mailbox.post(out, Overflow.FORCE);
    }
    this.#loopZero.posted(mailbox);
  }

  /** Each incarnation of a loop has a body port of its own. */
  #bodiesTo(loop: HostedMessageLoop): BodiesUnderWay {
    const bodies = this.#bodies.get(loop) ?? new BodiesUnderWay(loop.mailbox);
    this.#bodies.set(loop, bodies);
    return bodies;
  }
}

/** What is told of an ask of `endpoint` that loop 0 ends itself. */
export function failureOf(error: unknown, endpoint: string): Failure {
  if (isRpcError(error)) return [error.code, error.message, error.cause, error.maybeExecuted, error.retryable];
  return ["ERR_RPC_NO_REPLY", `the ask of "${endpoint}" ended: ${describeThrown(error)}`, error];
}
