/**
 * Goal: a stream and an upload of 256 MiB that are taken slowly cost their receiver a bounded amount of memory.
 * Method: both ends in this process, the sender's bytes made when they are sent. The receiver lets the loop turn twenty times
 * for each piece, in which a sender that is not held up sends far more than one. What is sent and not yet taken is looked at
 * with each piece that is sent, the process's memory too.
 */
import { expect, test } from "vitest";
import { NioManagedBuffer, openStreamReadable, StreamManager } from "../../../dist/src/network/index.js";
import { ScriptedHandler, Transports, upload } from "../../fixtures/transport.js";
import { Zeros } from "../../fixtures/zeros.js";

const MIB = 2 ** 20;
const BYTES = 256 * MIB;
/** The queue's window and the buffers of two sockets, which the system may grow to some MiB each. */
const UNDER_WAY_MAX = 32 * MIB;
const RSS_GROWTH_MAX = 64 * MIB;

async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** What was sent and not taken at most, and how the memory has grown at most. */
class Watch {
  readonly zeros = new Zeros(BYTES);
  readonly #rssAtStart = process.memoryUsage.rss();
  taken = 0;
  underWayMax = 0;
  growthMax = 0;

  constructor() {
    this.zeros.onSent = () => {
      this.underWayMax = Math.max(this.underWayMax, this.zeros.sent - this.taken);
      this.growthMax = Math.max(this.growthMax, process.memoryUsage.rss() - this.#rssAtStart);
    };
  }

  expectBounded(): void {
    expect(this.taken).toBe(BYTES);
    expect(this.underWayMax).toBeLessThan(UNDER_WAY_MAX);
    expect(this.growthMax).toBeLessThan(RSS_GROWTH_MAX);
  }
}

class OneStream extends StreamManager {
  readonly #zeros: Zeros;

  constructor(zeros: Zeros) {
    super();
    this.#zeros = zeros;
  }

  getChunk(): null {
    return null;
  }

  override openStream(): Zeros {
    return this.#zeros;
  }
}

/** Where the code of both ways has been run once, and its memory taken. */
async function warmUp(transports: Transports): Promise<void> {
  const handler = new ScriptedHandler({
    receiveStream: (_client, meta) => ({ getID: () => meta, onData: turns, onComplete() {}, onFailure() {} }),
  });
  const client = await transports.client(await transports.serve(handler));
  await upload(client, "warm", new NioManagedBuffer(Buffer.alloc(8 * MIB)));
}

test("a Readable that is read slowly", async () => {
  await using transports = new Transports();
  await warmUp(transports);
  const watch = new Watch();
  const server = await transports.serve(new ScriptedHandler({ streams: new OneStream(watch.zeros) }));
  for await (const piece of openStreamReadable(await transports.client(server), "zeros")) {
    await turns();
    watch.taken += piece.length;
  }
  watch.expectBounded();
});

test("an upload whose receiver is slow", async () => {
  await using transports = new Transports();
  await warmUp(transports);
  const watch = new Watch();
  const server = await transports.serve(
    new ScriptedHandler({
      receiveStream: (_client, meta) => ({
        getID: () => meta,
        async onData(_streamId, bytes) {
          // Held until it is done, as a write to a file would hold it.
          await turns();
          watch.taken += bytes.length;
        },
        onComplete() {},
        onFailure() {},
      }),
    }),
  );
  await upload(await transports.client(server), "zeros", watch.zeros);
  watch.expectBounded();
});
