import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { defineService, type RpcEndpointRef, type RpcMessages } from "ringpost";

/** An endpoint that is sent news, one-way, and asked nothing. */
export type Watcher = RpcMessages<never, unknown, { bytes: number }>;

export default defineService({
  /** Hashes a file on whatever thread is idle. Its bytes never pass the main thread. */
  async sha256(path: string, watcher: RpcEndpointRef<Watcher>): Promise<string> {
    const hash = createHash("sha256");
    let untold = 0;
    for await (const chunk of createReadStream(path, { highWaterMark: 1_048_576 }) as AsyncIterable<Uint8Array>) {
      hash.update(chunk);
      untold += chunk.length;
      // false: the watcher is behind. Then the next news carries more.
      if (watcher.send({ bytes: untold })) untold = 0;
    }
    while (untold > 0 && !watcher.send({ bytes: untold })) await watcher.ready();
    return hash.digest("hex");
  },
});
