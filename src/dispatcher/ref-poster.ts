/**
 * What refs need of the thread they are used on. Step 1 of the data flow. Loop 0 has one RefPoster (poster.ts), each
 * message loop has its own (loop-poster.ts); refs themselves are the same everywhere.
 */
import type { RefHandle } from "../rpc/ref-handle.js";
import { RpcAddress } from "../rpc/rpc-address.js";

const utf8 = new TextEncoder();
const NO_METHODS: readonly string[] = [];

/**
 * The endpoint that a ref means: a name, and hints which endpoint that was when somebody last looked. Shared by a ref
 * and all that `with` makes of it.
 */
export class RefTarget {
  readonly name: string;
  /** Where it is: `host:port`, or the id of an env that does not listen. null: in this env. */
  readonly place: string | null;
  id: number;
  generation: number;
  replicas: number;
  /** Methods of a service, as far as they are known. */
  methods = NO_METHODS;
  /** How its messages to another node begin; the network's to make, once. */
  address: Uint8Array | null = null;
  #nameBytes: Uint8Array | null = null;
  #trailer: Uint8Array | null = null;

  constructor(handle: Pick<RefHandle, "name" | "id" | "generation" | "replicas">, place: string | null = null) {
    this.name = handle.name;
    this.place = place;
    this.id = handle.id;
    this.generation = handle.generation;
    this.replicas = handle.replicas;
  }

  /** Where its env listens, if that is another one and it does. */
  get listeningAt(): RpcAddress | undefined {
    return this.place?.includes(":") === true ? RpcAddress.parse(`ringpost://${this.place}`) : undefined;
  }

  /** The name in UTF-8, as it travels behind a message. */
  get nameBytes(): Uint8Array {
    this.#nameBytes ??= utf8.encode(this.name);
    return this.#nameBytes;
  }

  /** Name and place in UTF-8, as they travel behind a message of a message loop. */
  get trailer(): Uint8Array {
    this.#trailer ??= this.place === null ? this.nameBytes : utf8.encode(this.name + this.place);
    return this.#trailer;
  }
}

export interface RefPoster {
  /** Slot of the last `ask`, or -1 if it was refused: for `abort`, together with its generation. */
  lastSlot: number;
  generation(slot: number): number;
  /** Posts a message that wants an answer. The promise settles exactly once. */
  ask(
    target: RefTarget,
    kind: number,
    message: unknown,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    transfer?: readonly ArrayBuffer[],
  ): Promise<unknown>;
  /** The caller gives one ask up, if it is still open. */
  abort(slot: number, generation: number, reason: unknown): void;
  /** Posts a one-way message. False: full now, nothing was kept. Throws what the caller did wrong. */
  send(target: RefTarget, kind: number, message: unknown, transfer?: readonly ArrayBuffer[]): boolean;
  /** Posts a one-way message to every replica. Returns how many accepted it. Throws what the caller did wrong. */
  broadcast(target: RefTarget, message: unknown): number;
  /** Resolves when a `send` would find room; rejects when it never will, or when `signal` aborts or time is up. */
  ready(target: RefTarget, timeoutMs: number, signal: AbortSignal | undefined): Promise<void>;
}
