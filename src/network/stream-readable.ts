/**
 * A stream of the peer as a Readable of Node.js: what is not read holds up the connection, and with it the peer.
 *
 * State    | is left by                                                   | bytes that come
 * ---------|--------------------------------------------------------------|-----------------------------------------
 * UNASKED  | the first read → ASKED; destroy → OVER                       | –
 * ASKED    | the last byte, a failure → OVER; destroy → UNWANTED          | are buffered, then hold the connection
 * UNWANTED | the last byte, the connection's end → OVER                   | are thrown away
 * OVER     | –                                                            | –
 *
 * UNWANTED: the rest of a stream that was destroyed stands between the connection and whatever comes next. What little is left
 * is read and thrown away, which costs less than a new connection. More than that is not worth its time, so the client is
 * closed and the pool makes another; but not while others wait for answers of the same connection, which would fail.
 */
import { Readable } from "node:stream";
import { checkOptions, type OptionKeys } from "../common/check-options.js";
import { STREAM_DRAIN_BYTES_MAX } from "../common/limits.js";
import type { StreamCallback } from "./callbacks.js";
import type { TransportClient } from "./transport-client.js";

export interface StreamReadableOptions {
  /** Bytes that are buffered before the connection is held up. Default: that of Node.js, 64 KiB. */
  readonly highWaterMark?: number;
}

const OPTION_KEYS: OptionKeys<StreamReadableOptions> = { highWaterMark: true };

/**
 * A stream of the peer, by its name. It is asked for when it is read for the first time, so that one that nobody reads holds
 * up nobody. While it is read, it must be read to its end or destroyed: everything else that comes by this connection waits
 * behind it, another stream of the same client, too.
 *
 * It fails with ERR_RPC_STREAM (the peer has no such stream, or may not give it) or ERR_RPC_CONNECTION_LOST. `destroy` before
 * the end throws the rest away, and closes the client where more than 1 MiB is left and nothing else is outstanding.
 */
export function openStreamReadable(
  client: TransportClient,
  streamId: string,
  options: StreamReadableOptions = {},
): Readable {
  checkOptions("openStreamReadable", options, OPTION_KEYS);
  return new StreamReadable(client, streamId, options);
}

class StreamReadable extends Readable {
  readonly #client: TransportClient;
  readonly #streamId: string;
  #isAsked = false;
  #isGivenUp = false;
  /** Bytes that have not come; 0: nothing has begun, or all is over. */
  #remaining = 0;
  /** Lets the connection go on. */
  #wake: (() => void) | null = null;

  constructor(client: TransportClient, streamId: string, { highWaterMark }: StreamReadableOptions) {
    super(highWaterMark === undefined ? {} : { highWaterMark });
    this.#client = client;
    this.#streamId = streamId;
  }

  override _read(): void {
    if (!this.#isAsked) {
      this.#isAsked = true;
      this.#client.stream(this.#streamId, this.#callback());
      return;
    }
    this.#goOn();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#giveUp();
    this.#goOn();
    done(error);
  }

  #callback(): StreamCallback {
    return {
      onStart: (_streamId, byteCount) => {
        this.#remaining = byteCount;
      },
      onData: (_streamId, bytes) => {
        this.#remaining -= bytes.length;
        if (this.destroyed) {
          this.#giveUp();
          return;
        }
        this.#client.connection.keepBytes();
        if (this.push(bytes)) return;
        return new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      },
      onComplete: () => {
        this.#remaining = 0;
        this.push(null);
      },
      onFailure: (_streamId, error) => {
        this.#remaining = 0;
        this.destroy(error);
      },
    };
  }

  #goOn(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }

  /** Nobody wants the rest. Decided once, when it is known how much that is. */
  #giveUp(): void {
    if (this.#remaining === 0 || this.#isGivenUp) return;
    this.#isGivenUp = true;
    // The one that is outstanding is this stream.
    if (this.#remaining > STREAM_DRAIN_BYTES_MAX && this.#client.outstandingCount <= 1) this.#client.close();
  }
}
