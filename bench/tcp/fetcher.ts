/** One connection of the transport that asks for bytes, by chunk or by stream, and looks at their length. */
import { NoOpRpcHandler, type TransportClient, TransportConf, TransportContext } from "ringpost/network";
import { type Wish, writeWish } from "./bare-fetch.js";

export class Fetcher implements AsyncDisposable {
  readonly #client: TransportClient;

  private constructor(client: TransportClient) {
    this.#client = client;
  }

  static async connect(port: number): Promise<Fetcher> {
    const context = new TransportContext({ rpcHandler: new NoOpRpcHandler(), settings: new TransportConf("shuffle") });
    return new Fetcher(await context.createClientFactory().createClient("127.0.0.1", port));
  }

  async chunks(wish: Wish, depth: number): Promise<void> {
    const streamId = await this.#open(wish);
    await pipelined(wish, depth, (index, done) =>
      this.#client.fetchChunk(streamId, index, {
        onSuccess: (_index, buffer) => done(buffer.size),
        onFailure: (_index, error) => done(error),
      }),
    );
  }

  async streams(wish: Wish, depth: number): Promise<void> {
    const streamId = await this.#open(wish);
    await pipelined(wish, depth, (index, done) => {
      let received = 0;
      this.#client.stream(`${streamId}_${index}`, {
        onData: (_id, piece) => {
          received += piece.length;
        },
        onComplete: () => done(received),
        onFailure: (_id, error) => done(error),
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
  }

  #open(wish: Wish): Promise<bigint> {
    return new Promise((resolve, reject) => {
      this.#client.sendRpc(writeWish(wish), {
        onSuccess: (answer) => resolve(new DataView(answer.buffer, answer.byteOffset).getBigInt64(0)),
        onFailure: reject,
      });
    });
  }
}

/** Keeps `depth` fetches under way until all have come; throws where one is not as long as it should be. */
function pipelined(
  { byteCount, count }: Wish,
  depth: number,
  start: (index: number, done: (result: number | Error) => void) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let started = 0;
    let ended = 0;
    const done = (result: number | Error): void => {
      if (result !== byteCount) reject(result instanceof Error ? result : new Error(`${result} of ${byteCount} bytes`));
      else if (++ended === count) resolve();
      else if (started < count) start(started++, done);
    };
    while (started < Math.min(depth, count)) start(started++, done);
  });
}
