/**
 * Puts a message loop together on its worker thread and runs it. Everything a worker loads starts here, so nothing
 * below may import piscina, node:net or node:tls.
 */
import { receiveMessageOnPort } from "node:worker_threads";
import { systemClock } from "../common/clock.js";
import { IN_FLIGHT_ENTRIES_PER_LOOP, OVERFLOW_LIST_BYTES_MAX } from "../common/limits.js";
import { InFlightTable } from "../inbox/in-flight-table.js";
import { InboxProducer, RecordReader } from "../inbox/inbox.js";
import { LoopQueues } from "../inbox/loop-queues.js";
import { Parker } from "../inbox/parking.js";
import { PayloadWriter } from "../inbox/record.js";
import { SpillBudget, SpillTotal } from "../inbox/spill-queue.js";
import { Blame } from "./blame.js";
import { expose } from "./control-plane.js";
import { explainSilence } from "./dispatch-errors.js";
import { EndpointRefs } from "./endpoint-refs.js";
import { HandlerRunner } from "./handler-runner.js";
import { LoopEndpoints } from "./loop-endpoints.js";
import { LoopEnvView } from "./loop-env-view.js";
import { LoopMemory } from "./loop-memory.js";
import { LoopPoster } from "./loop-poster.js";
import type { BodyOnPort, LoopStart } from "./loop-protocol.js";
import { MessageLoop } from "./message-loop.js";
import { Outbound } from "./outbound.js";
import { RunningHandler } from "./running-handler.js";
import { loopCodecs } from "./shared-shapes.js";

/** Resolves when loop 0 has asked the loop to stop and everything was served. */
export async function startMessageLoop(start: LoopStart): Promise<void> {
  const clock = systemClock(start.originMs);
  const memory = new LoopMemory(start);
  const { envId: env, address, settings, envName: name } = start;
  const refs = new EndpointRefs({ env, address, askTimeoutMs: settings.askTimeout.ms });
  const codecs = loopCodecs({ refs, ...settings }, memory.structures, (keys) => out.suggest(keys));
  const { codec, controlCodec } = codecs;
  const { control, entries, mailbox, outbound } = start.loopRegions;
  const controlWords = memory.segment(control.segment).words;

  const budget = new SpillBudget(
    { messagesMax: Number.MAX_SAFE_INTEGER, bytesMax: OVERFLOW_LIST_BYTES_MAX },
    new SpillTotal(OVERFLOW_LIST_BYTES_MAX),
  );
  const producer = new InboxProducer(
    memory.place(outbound),
    memory.outboundDoorbell(),
    new PayloadWriter(codec.scratch),
    budget,
  );
  const table = new InFlightTable(memory.segment(entries.segment).words, entries.word, IN_FLIGHT_ENTRIES_PER_LOOP);
  const out = new Outbound(producer, codecs, start.bodyPort, table);
  const running = new RunningHandler();
  const poster = new LoopPoster({
    loop: start.loop,
    epoch: start.epoch,
    clock,
    codecs,
    producer,
    bodyPort: start.bodyPort,
    running,
    askTimeout: settings.askTimeout,
    explain: (target) => explainSilence(target.name, loop.find(target.id)),
  });
  refs.start(poster, poster);
  const { lookupTimeout, startTimeoutMs } = settings;
  const port = start.envPort;
  const rpcEnv = new LoopEnvView({ name, address, clock, poster, refs, codec: controlCodec, lookupTimeout, port });
  const parker = new Parker(memory.envWords, memory.envRegion, start.loop, () => loop.schedule());
  const queues = new LoopQueues({
    loop: start.loop,
    controlWords,
    control: control.word,
    own: memory.ownReady,
    shared: memory.sharedReady,
    parking: memory.parking,
    parker,
  });
  const loop = new MessageLoop({
    clock,
    throughput: start.throughput,
    queues,
    mailbox: new RecordReader(memory.place(mailbox), memory.mailboxRoomDoorbell()),
    entries: table,
    outbound: out,
    controlWords,
    control: control.word,
    settle: (answer) => poster.settle(answer),
  });
  const runner = new HandlerRunner({
    codecs,
    clock,
    asks: memory.asks,
    entries: table,
    answers: out,
    blocks: memory.blocks,
    takeBody: () => (receiveMessageOnPort(start.bodyPort) as { message: BodyOnPort } | undefined)?.message,
    running,
    rpcEnv,
    onReleased: (endpoint) => loop.released(endpoint),
  });
  // Exposed ports keep this thread's event loop alive: a pending waitAsync alone would let it exit.
  const blame = new Blame(clock, controlWords, control.word);
  const host = { codec: controlCodec, blame, clock, startTimeoutMs };
  expose(new LoopEndpoints({ loop, memory, refs, rpcEnv, host }), start.controlPort);
  await loop.run(runner);
  start.controlPort.close();
  start.envPort.close();
  // The body port stays open: timers of handlers may post until the thread is gone, and a record must have its body.
}
