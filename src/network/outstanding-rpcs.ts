/**
 * The requests of one connection that wait for an answer: slots in arrays, because a Map of 64-bit ids would cost more
 * than the request. An id is 8 bytes, of which the high word is the slot's generation and the low word its number; only
 * this side reads them. A slot that becomes free goes to the end of the queue of free ones, so that a late answer to a
 * forgotten request finds another generation.
 *
 *     handle = generation · 2²⁰ + slot     a number that is exact: 31 + 20 bits
 */
import { RPCS_PER_CONNECTION_MAX } from "../common/limits.js";
import type { MergedBlockMetaResponseCallback, RpcResponseCallback } from "./callbacks.js";

/** Either is told of a failure; which one it is decides what kind of answer it may get. */
export type RpcCallback = RpcResponseCallback | MergedBlockMetaResponseCallback;

/** What there was no room for: as many requests as an id can count are outstanding. */
export const NO_SLOT = -1;

const SLOTS_AT_FIRST = 16;
/** Slots that a handle can name: handle = generation · HANDLE_SLOTS + slot. */
export const HANDLE_SLOTS = 2 ** 20;
const GENERATION_MAX = 2 ** 31 - 1;

export class OutstandingRpcs {
  #callbacks: (RpcCallback | null)[] = new Array(SLOTS_AT_FIRST).fill(null);
  #generations = new Int32Array(SLOTS_AT_FIRST);
  #isMeta = new Uint8Array(SLOTS_AT_FIRST);
  /** The position of the write queue from which on the request may be run. */
  #endsAt = new Float64Array(SLOTS_AT_FIRST);
  /** Free slots, first in first out, as links; -1 ends them. */
  #nextFree = new Int32Array(SLOTS_AT_FIRST).fill(-1);
  #firstFree = -1;
  #lastFree = -1;
  /** Slots that were ever used; those beyond have no link. */
  #used = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** @returns The slot, or NO_SLOT. */
  add(callback: RpcCallback, isMeta: boolean): number {
    let slot = this.#firstFree;
    if (slot >= 0) {
      const next = this.#nextFree[slot] as number;
      this.#firstFree = next;
      if (next < 0) this.#lastFree = -1;
    } else {
      slot = this.#used;
      if (slot === this.#callbacks.length && !this.#grow()) return NO_SLOT;
      this.#used = slot + 1;
    }
    this.#callbacks[slot] = callback;
    this.#isMeta[slot] = isMeta ? 1 : 0;
    this.#count++;
    return slot;
  }

  /** When all before this position is in the hands of the socket, the request may be run. */
  setEnd(slot: number, position: number): void {
    this.#endsAt[slot] = position;
  }

  generationOf(slot: number): number {
    return this.#generations[slot] as number;
  }

  handleOf(slot: number): number {
    return (this.#generations[slot] as number) * HANDLE_SLOTS + slot;
  }

  /** Takes out the request with this id; null: there is none, or it expects another kind of answer. */
  take(idHigh: number, idLow: number, isMeta: boolean): RpcCallback | null {
    if (idLow < 0 || idLow >= this.#used || this.#generations[idLow] !== idHigh) return null;
    const callback = this.#callbacks[idLow] as RpcCallback | null;
    if (callback === null || (this.#isMeta[idLow] === 1) !== isMeta) return null;
    this.#free(idLow);
    return callback;
  }

  /** Takes out the request with this id, whatever kind of answer it expects. */
  takeAny(idHigh: number, idLow: number): RpcCallback | null {
    return this.take(idHigh, idLow, false) ?? this.take(idHigh, idLow, true);
  }

  /** @returns False when the request has ended already. */
  remove(handle: number): boolean {
    return this.takeAny(Math.floor(handle / HANDLE_SLOTS), handle % HANDLE_SLOTS) !== null;
  }

  /** Takes out all; `isHanded` says of each whether it may be run, with so much in the hands of the socket. */
  takeAll(handedTo: number, taken: (callback: RpcCallback, isHanded: boolean, slot: number) => void): void {
    for (let slot = 0; slot < this.#used; slot++) {
      const callback = this.#callbacks[slot];
      if (callback === null || callback === undefined) continue;
      const isHanded = (this.#endsAt[slot] as number) <= handedTo;
      this.#free(slot);
      taken(callback, isHanded, slot);
    }
  }

  #free(slot: number): void {
    this.#callbacks[slot] = null;
    const generation = this.#generations[slot] as number;
    this.#generations[slot] = generation === GENERATION_MAX ? 0 : generation + 1;
    this.#nextFree[slot] = -1;
    if (this.#lastFree < 0) this.#firstFree = slot;
    else this.#nextFree[this.#lastFree] = slot;
    this.#lastFree = slot;
    this.#count--;
  }

  #grow(): boolean {
    const slots = this.#callbacks.length * 2;
    if (slots > RPCS_PER_CONNECTION_MAX) return false;
    for (let slot = slots / 2; slot < slots; slot++) this.#callbacks.push(null);
    this.#generations = grown(this.#generations, new Int32Array(slots));
    this.#isMeta = grown(this.#isMeta, new Uint8Array(slots));
    this.#endsAt = grown(this.#endsAt, new Float64Array(slots));
    this.#nextFree = grown(this.#nextFree, new Int32Array(slots).fill(-1));
    return true;
  }
}

function grown<A extends Int32Array | Uint8Array | Float64Array>(from: A, to: A): A {
  to.set(from);
  return to;
}
