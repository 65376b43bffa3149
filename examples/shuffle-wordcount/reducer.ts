/** A reducer: fetches its block of every mapper from the shuffle service, and adds them up. */
import { ExternalBlockStoreClient } from "ringpost/blocks";
import type { ManagedBuffer } from "ringpost/network";
import type { Block, Reduced, ReduceJob } from "./jobs.js";
import { answer, readJob } from "./processes.js";
import { addCounts } from "./words.js";

const { service, appId, blocks } = await readJob<ReduceJob>();
const client = new ExternalBlockStoreClient().init(appId);

function fetchBlock({ execId, id }: Block): Promise<ManagedBuffer> {
  return new Promise((resolve, reject) => {
    client.fetchBlocks(service.host, service.port, execId, [id], {
      // It would be the client's again after this call.
      onBlockFetchSuccess: (_id, data) => resolve(data.retain()),
      onBlockFetchFailure: (_id, error) => reject(error),
    });
  });
}

const counts = new Map<string, number>();
let bytes = 0;
for (const block of await Promise.all(blocks.map(fetchBlock))) {
  bytes += block.size;
  addCounts(await block.bytes(), counts);
  block.release();
}
client.close();
answer<Reduced>({ bytes, counts: [...counts] });
