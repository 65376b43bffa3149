/**
 * Attachments: large bytes of a message, which travel beside its payload as ArrayBuffers of their own. The payload says
 * where they belong. Packing them would copy them once more at each end.
 *
 * Two sorts: views of at least `bytesMin` bytes, copied when the message is posted; and buffers that the caller gives
 * away (`transfer`), moved then, with every view of them, large or small. Until `take` nothing of the caller is touched.
 */
import { types } from "node:util";
import { RpcError } from "../common/errors.js";

const NOT_MET = -1;
/** Met, and nothing in it to attach. */
const EMPTY = -2;

export class Attachments {
  readonly #bytesMin: number;
  /** Views to copy and buffers to move, by index. */
  readonly #sources: (ArrayBufferView | ArrayBuffer)[] = [];
  /** Index of each buffer that is moved, or NOT_MET, or EMPTY. */
  readonly #moved = new Map<ArrayBufferLike, number>();
  bytes = 0;

  constructor(bytesMin: number) {
    this.#bytesMin = bytesMin;
  }

  /** Forgets the last message, and begins one with these buffers to move. Throws ERR_RPC_INVALID_ARGUMENT. */
  begin(transfer: readonly ArrayBuffer[] | undefined): void {
    if (this.#sources.length > 0) this.#sources.length = 0;
    if (this.#moved.size > 0) this.#moved.clear();
    this.bytes = 0;
    if (transfer === undefined) return;
    if (!Array.isArray(transfer)) throw badTransfer("transfer must be an array of ArrayBuffers");
    transfer.forEach((buffer: unknown, index) => {
      const what = `transfer[${index}]`;
      if (!types.isArrayBuffer(buffer)) throw badTransfer(`${what} is no ArrayBuffer; of a view, name its buffer`);
      if (this.#moved.has(buffer)) throw badTransfer(`${what} is named twice`);
      if (isDetached(buffer)) throw badTransfer(`${what} is detached: it was transferred before`);
      this.#moved.set(buffer, NOT_MET);
    });
  }

  /** Index of the attachment that holds the bytes of `view`, or -1 for bytes to be written into the payload. */
  attach(view: ArrayBufferView): number {
    // Not asked for without need: V8 keeps small views on its heap, and makes a buffer when somebody wants to see it.
    if (this.#moved.size > 0) {
      const { buffer } = view;
      const known = this.#moved.get(buffer);
      if (known !== undefined) {
        if (known >= 0) return known;
        if (buffer.byteLength === 0) {
          this.#moved.set(buffer, EMPTY);
          return -1;
        }
        const index = this.#sources.push(buffer as ArrayBuffer) - 1;
        this.#moved.set(buffer, index);
        this.bytes += buffer.byteLength;
        return index;
      }
    }
    if (view.byteLength < this.#bytesMin) return -1;
    this.bytes += view.byteLength;
    return this.#sources.push(view) - 1;
  }

  /** Where in its attachment the bytes of `view` begin. */
  offsetOf(index: number, view: ArrayBufferView): number {
    return ArrayBuffer.isView(this.#sources[index]) ? 0 : view.byteOffset;
  }

  /** True if the memory of `view` is to be moved. */
  moves(view: ArrayBufferView): boolean {
    return this.#moved.size > 0 && this.#moved.has(view.buffer);
  }

  /** The message is written. Throws ERR_RPC_INVALID_ARGUMENT for a buffer that occurs nowhere in it. */
  finish(): void {
    if (this.#moved.size === 0) return;
    let position = 0;
    for (const index of this.#moved.values()) {
      if (index === NOT_MET) throw badTransfer(`transfer[${position}] occurs nowhere in the message`);
      position++;
    }
  }

  /** Copies of all: what would be moved stays where it is. */
  copy(): ArrayBuffer[] {
    return this.#sources.map((source) => (ArrayBuffer.isView(source) ? copyOf(source) : source.slice(0)));
  }

  /** True if there is anything to move. */
  get moving(): boolean {
    return this.#moved.size > 0;
  }

  /** The bytes of all, where they lie; only if nothing is moved. */
  views(): Uint8Array[] {
    return (this.#sources as ArrayBufferView[]).map(bytesOf);
  }

  /** Copies what is copied and moves what is moved: from here on the moved buffers of the caller are detached. */
  take(): ArrayBuffer[] {
    const moved = [...this.#moved.keys()] as ArrayBuffer[];
    // All at once, and before any copy is made: a buffer that cannot be moved must leave the others as they are.
    const received = moved.length === 0 ? [] : structuredClone(moved, { transfer: moved });
    const taken = this.#sources.map((source) => {
      if (ArrayBuffer.isView(source)) return copyOf(source);
      return received[moved.indexOf(source)] as ArrayBuffer;
    });
    this.begin(undefined);
    return taken;
  }
}

/** Private memory, whatever memory the view was of. */
function copyOf(view: ArrayBufferView): ArrayBuffer {
  return bytesOf(view).slice().buffer as ArrayBuffer;
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** Node 20 has no `detached`. */
export function isDetached(buffer: ArrayBufferLike): boolean {
  if (buffer.byteLength > 0) return false;
  try {
    return new Uint8Array(buffer).length !== 0;
  } catch {
    return true;
  }
}

function badTransfer(text: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", `bad transfer list: ${text}`);
}
