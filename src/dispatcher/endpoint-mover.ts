/**
 * Moves an endpoint of one instance off a loop that is stuck: another loop, another Inbox with what nobody had taken, a
 * new generation. Main thread only.
 *
 * The old Inbox is left to the stuck thread until that has exited: nobody can say what it would still do to it.
 */
import { Overflow } from "../inbox/inbox.js";
import { OutgoingRecord, type PayloadWriter, TakenRecord } from "../inbox/record.js";
import type { EndpointDirectory } from "./endpoint-directory.js";
import type { HostedEndpoint } from "./hosted-endpoint.js";
import type { HostedMessageLoop } from "./hosted-message-loop.js";
import type { MainLoopMemory } from "./main-loop-memory.js";
import type { MessageLoops } from "./message-loops.js";

export interface EndpointMoverOptions {
  readonly memory: MainLoopMemory;
  readonly directory: EndpointDirectory;
  readonly loops: MessageLoops;
  readonly writer: PayloadWriter;
}

export class EndpointMover {
  readonly #options: EndpointMoverOptions;

  constructor(options: EndpointMoverOptions) {
    this.#options = options;
  }

  /**
   * Gives `endpoint` another loop than `stuck`, on which it is started by whoever called this. Returns the loop's id, or
   * null when there is none: the endpoint then waits for the thread that is stuck.
   */
  move(endpoint: HostedEndpoint, stuck: HostedMessageLoop): number | null {
    const { memory, directory, loops, writer } = this.#options;
    const to = loops.elsewhere(stuck.index, endpoint.name);
    if (to === null) return null;
    const { ring, producer, budget, id } = endpoint;
    const generation = directory.nextGeneration();
    const newRing = memory.allocateRing(ring.capacityBytes);
    const newProducer = memory.pinnedProducer(id, newRing, to, loops.regions(to), writer, budget);
    const record = new OutgoingRecord();
    producer.flush();
    const reader = memory.backlogReader(ring);
    const taken = new TakenRecord();
    while (reader.read(taken)) {
      record.setHeaderOnly(taken.kind, taken.askSlot, taken.askGeneration, taken.sender);
      record.flags = taken.flags;
      record.deadline = taken.deadline;
      record.enqueuedAt = taken.enqueuedAt;
      record.endpointGeneration = generation;
      record.setPayload(taken.codec, taken.scratch, taken.payloadBytes);
      newProducer.post(record, Overflow.FORCE);
    }
    for (let spilled = producer.spill.peek(); spilled !== null; spilled = producer.spill.peek()) {
      spilled.endpointGeneration = generation;
      newProducer.post(spilled, Overflow.FORCE);
      producer.spill.shift();
    }
    newProducer.flush();
    loops.unpin(stuck.index);
    loops.pin(to);
    endpoint.moveTo({ loop: to, generation, ring: newRing, producer: newProducer });
    void stuck.hosted.exited.then(() => memory.releaseRing(ring));
    return to;
  }
}
