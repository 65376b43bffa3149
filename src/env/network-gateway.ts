/**
 * What handlers on message loops send to endpoints on other nodes, and ask of them: undecoded, from their outbound ring
 * into Outboxes, and the answer's bytes into their mailbox. Steps 3 and 8 of the data flow.
 */
import { isRpcError, type RpcError } from "../common/errors.js";
import type { Payload } from "../dispatcher/message-posting.js";
import { receivedPayload } from "../dispatcher/message-posting.js";
import type { RefTarget } from "../dispatcher/ref-poster.js";
import type { DepartingMessage, LoopAsker, RemoteGateway } from "../dispatcher/remote-gateway.js";
import type { MessageCodec } from "../rpc/codec.js";
import { NO_DEADLINE_MS, type Outboxes } from "./outboxes.js";
import { OutgoingAsk } from "./outgoing-ask.js";

/** An ask of a handler on a message loop. */
class HandlerAsk extends OutgoingAsk {
  readonly asker: LoopAsker;
  readonly #gateway: NetworkGateway;

  constructor(gateway: NetworkGateway, endpoint: string, asker: LoopAsker) {
    super(endpoint);
    this.asker = asker;
    this.#gateway = gateway;
  }

  protected answered(failed: boolean, payloadCodec: number, bytes: Uint8Array, start: number, end: number): void {
    this.#gateway.forget(this);
    this.asker.answer(failed, receivedPayload(payloadCodec, bytes.subarray(start, end), end - start, null));
  }

  protected failed(error: RpcError): void {
    this.#gateway.forget(this);
    this.asker.fail(error);
  }
}

export class NetworkGateway implements RemoteGateway {
  readonly #outboxes: Outboxes;
  readonly #codec: MessageCodec;
  readonly #onDeadLetter: (endpoint: string, error: RpcError, message: () => unknown) => void;
  readonly #asks = new Map<number, HandlerAsk>();
  readonly #waiting = new Map<number, AbortController>();

  constructor(
    outboxes: Outboxes,
    codec: MessageCodec,
    onDeadLetter: (endpoint: string, error: RpcError, message: () => unknown) => void,
  ) {
    this.#outboxes = outboxes;
    this.#codec = codec;
    this.#onDeadLetter = onDeadLetter;
  }

  ask(target: RefTarget, { kind, deadline, payload }: DepartingMessage, asker: LoopAsker): void {
    const ask = new HandlerAsk(this, target.name, asker);
    this.#asks.set(keyOf(asker), ask);
    const { payloadCodec, bytes, length } = payload;
    try {
      const remainingMs = this.#outboxes.remainingMs(deadline);
      this.#outboxes.ask(target, { kind, payloadCodec, bytes, length, deadline, remainingMs, ask, lost: () => {} });
    } catch (error) {
      ask.onFailure(error as Error);
    }
  }

  send(target: RefTarget, { kind, payload }: DepartingMessage): void {
    const { payloadCodec, bytes, length } = payload;
    const lost = (error: RpcError, body: Uint8Array): void =>
      this.#onDeadLetter(target.name, error, () => this.#codec.decode(payloadCodec, body, length));
    try {
      const message = { kind, payloadCodec, bytes, length, deadline: 0, remainingMs: NO_DEADLINE_MS, ask: null, lost };
      if (this.#outboxes.send(target, message)) return;
      // Its sender was told that it is accepted.
      lost(this.#outboxes.full(target), ownBytes(payload));
    } catch (error) {
      if (!isRpcError(error)) throw error;
      lost(error, ownBytes(payload));
    }
  }

  ready(target: RefTarget, asker: LoopAsker): void {
    const key = keyOf(asker);
    const controller = new AbortController();
    this.#waiting.set(key, controller);
    const done = (answer: () => void): void => {
      if (this.#waiting.get(key) === controller) this.#waiting.delete(key);
      if (!controller.signal.aborted) answer();
    };
    this.#outboxes.ready(target, controller.signal).then(
      () => done(() => asker.answer(false, receivedPayload(0, NOTHING, 0, null))),
      (error) => done(() => asker.fail(error)),
    );
  }

  giveUp(loop: number, slot: number, generation: number): boolean {
    const key = keyOf({ loop, slot });
    const ask = this.#asks.get(key);
    if (ask !== undefined && ask.asker.generation === generation) {
      this.#asks.delete(key);
      this.#outboxes.giveUp(ask);
      return true;
    }
    const controller = this.#waiting.get(key);
    if (controller === undefined) return false;
    this.#waiting.delete(key);
    controller.abort();
    return true;
  }

  onLoopDied(loop: number): void {
    for (const ask of [...this.#asks.values()]) {
      if (ask.asker.loop === loop) this.giveUp(loop, ask.asker.slot, ask.asker.generation);
    }
    for (const [key, controller] of this.#waiting) if (Math.floor(key / SLOTS) === loop) controller.abort();
  }

  /** It has ended. */
  forget(ask: HandlerAsk): void {
    const key = keyOf(ask.asker);
    if (this.#asks.get(key) === ask) this.#asks.delete(key);
  }
}

const NOTHING = new Uint8Array(0);
/** Ask slots of a loop are fewer. */
const SLOTS = 2 ** 20;

function keyOf({ loop, slot }: Pick<LoopAsker, "loop" | "slot">): number {
  return loop * SLOTS + slot;
}

function ownBytes({ bytes, length }: Payload): Uint8Array {
  // Not `slice`: of a Buffer that would be a view.
  return new Uint8Array(bytes.subarray(0, length));
}
