/** Goal: instances, isolated kinds, references inside messages and what an endpoint has of itself are typed as they run. */
import type { Readable } from "node:stream";
import { RpcConf } from "../../dist/src/common/rpc-conf.js";
import { RpcEnv as RpcEnvironment } from "../../dist/src/index.js";
import type { RpcCallContext, RpcContext, RpcSendContext } from "../../dist/src/rpc/rpc-context.js";
import {
  IsolatedRpcEndpoint,
  IsolatedThreadSafeRpcEndpoint,
  RpcEndpoint,
  ThreadSafeRpcEndpoint,
} from "../../dist/src/rpc/rpc-endpoint.js";
import type { RpcEndpointRef } from "../../dist/src/rpc/rpc-endpoint-ref.js";
import type { RpcEnv } from "../../dist/src/rpc/rpc-env.js";
import type { RpcEnvView } from "../../dist/src/rpc/rpc-env-view.js";
import type { RpcMessages } from "../../dist/src/rpc/rpc-messages.js";
import type { Arrived, RpcAsk, RpcUntyped } from "../../dist/src/rpc/rpc-protocol.js";
import { defineService, defineStatefulService, withContext } from "../../dist/src/rpc/rpc-service.js";
import { type Equal, expectTrue } from "./assertions.js";

declare const env: RpcEnv;

// An endpoint talks to itself by a reference whose type it says.
type Tick = { op: "tick" };
class Clock extends ThreadSafeRpcEndpoint {
  declare readonly self: RpcEndpointRef<Clock>;
  override onStart(): void {
    this.self.send({ op: "tick" });
    // @ts-expect-error -- no such message
    this.self.send({ op: "tock" });
    expectTrue<Equal<typeof this.rpcEnv, RpcEnvView>>();
    expectTrue<Equal<typeof this.replica.index, number>>();
    const stopped: undefined = this.stop() as undefined;
    void stopped;
  }
  override receive(_message: Tick, context: RpcSendContext): void {
    void context.rpcEnv.setupEndpoint<typeof Clock>("other", "file:///clock.js");
    // @ts-expect-error -- there is nothing to await: it only begins
    context.rpcEnv.stop(this.self).then();
    // @ts-expect-error -- nobody waits for a reply
    context.reply(1);
  }
}
class Silent extends RpcEndpoint {
  override onConnected(address: { host: string; port: number }): void {
    // @ts-expect-error -- without a type its own reference is any reference
    this.self.send(address);
  }
}
// @ts-expect-error -- protected: others ask their own environment
void new Silent().rpcEnv;

// An instance or a service for the main thread.
const clock = new Clock();
const onMain = env.setupEndpoint("clock", clock);
expectTrue<Equal<typeof onMain, Promise<RpcEndpointRef<Clock>>>>();
void env.setupEndpoint("clock", clock, { inboxBytes: 4_096, handlerTimeoutMs: 5, throughput: 1 });
const ofInstance = env.endpointRef(clock);
expectTrue<Equal<typeof ofInstance, RpcEndpointRef<Clock> | null>>();
const inline = defineService({ twice: (n: number) => n * 2 });
const service = env.setupEndpoint("twice", inline);
expectTrue<Equal<typeof service, Promise<RpcEndpointRef<typeof inline>>>>();
void service.then((ref) => ref.call.twice(1));
// @ts-expect-error -- an instance has been constructed: there are no args to give
void env.setupEndpoint("clock", clock, { args: 1 });
// @ts-expect-error -- the class itself is neither an instance nor a module
void env.setupEndpoint("clock", Clock);
const wantsArgs = defineStatefulService(({ args }: { readonly args: number }) => ({ get: () => args }));
// @ts-expect-error -- a service that wants args is set up by its module
void env.setupEndpoint("wants", wantsArgs);

// Files: the main thread's, so not what endpoints see.
const file = env.fileServer.addFile("a");
expectTrue<Equal<typeof file, Promise<string>>>();
const channel = env.openChannel("ringpost://h:1/files/a");
expectTrue<Equal<typeof channel, Promise<Readable>>>();
declare const view: RpcEnvView;
// @ts-expect-error -- endpoints on message loops have no streams
void view.openChannel("ringpost://h:1/files/a");

// Isolated ones have threads of their own, which an instance cannot reach.
class Hasher extends IsolatedRpcEndpoint {
  static override readonly threadCount = 2;
  override receiveAndReply(message: RpcAsk<{ data: Uint8Array }, Buffer>): Buffer {
    return Buffer.from(message.data);
  }
}
class Writer extends IsolatedThreadSafeRpcEndpoint {}
// @ts-expect-error -- an isolated endpoint has its own threads: pass the URL of its module
void env.setupEndpoint("hasher", new Hasher());
// @ts-expect-error -- the same
void env.setupEndpoint("writer", new Writer());
const hasher = env.setupEndpoint<typeof Hasher>("hasher", "file:///hasher.js", { kind: "isolated" });
expectTrue<Equal<typeof hasher, Promise<RpcEndpointRef<Hasher>>>>();
const hashed = hasher.then((ref) => ref.ask({ data: new Uint8Array(1) }));
expectTrue<Equal<typeof hashed, Promise<Uint8Array<ArrayBuffer>>>>();
// @ts-expect-error -- no such kind
void env.setupEndpoint<typeof Hasher>("hasher", "file:///hasher.js", { kind: "own" });
// @ts-expect-error -- one message at a time needs one thread
class TooMany extends IsolatedThreadSafeRpcEndpoint {
  static override readonly threadCount = 2;
}
void TooMany;

// A flag that is known at run time only is a flag all the same.
declare const flag: boolean;
defineService({ a: () => 1 }, { serial: flag });

// Settings: keys of ours by name, and any of Spark's.
const conf = new RpcConf({ "rpc.askTimeout": "30s", "shuffle.io.maxRetries": 3, "spark.app.name": "x" });
expectTrue<Equal<ReturnType<typeof conf.getTimeMs>, number>>();
void RpcEnvironment.create({ conf });
void RpcEnvironment.create({ conf: { "rpc.inbox.bytes": 4_096 } });
// @ts-expect-error -- no such key
conf.set("rpc.nonsense", 1);
// @ts-expect-error -- no such key
void RpcEnvironment.create({ conf: { "rpc.nonsense": 1 } });
// @ts-expect-error -- neither text nor number nor flag
conf.set("rpc.askTimeout", null);
// @ts-expect-error -- no such option
void RpcEnvironment.create({ threads: 1 });

// Options of services: serial means one thread.
defineService({ a: () => 1 }, { threadCount: 4 });
defineService({ a: () => 1 }, { serial: true, threadCount: 1 });
// @ts-expect-error -- a serial service has one thread at most
defineService({ a: () => 1 }, { serial: true, threadCount: 2 });
defineStatefulService(({ args, self, rpcEnv }: { args: number; self: RpcEndpointRef; rpcEnv: RpcEnvView }) => ({
  where: () => `${rpcEnv.name} ${self.uri} ${args}`,
}));

// What a reference can do.
declare const ref: RpcEndpointRef<Clock>;
expectTrue<Equal<ReturnType<typeof ref.broadcast>, number>>();
ref.broadcast({ op: "tick" });
// @ts-expect-error -- no such message
ref.broadcast({ op: "tock" });
ref.with({ transfer: [new ArrayBuffer(1)] }).send({ op: "tick" });
// @ts-expect-error -- views are not moved, their buffers are
ref.with({ transfer: [new Uint8Array(1)] });
// @ts-expect-error -- shared memory cannot be moved
ref.with({ transfer: [new SharedArrayBuffer(1)] });
// @ts-expect-error -- options do not travel, so what `with` returns is not a reference
ref.equals(ref.with({ timeoutMs: 1 }));

// References travel, at any depth, and are references where they arrive.
expectTrue<Equal<Arrived<{ to: RpcEndpointRef<Clock> }>, { to: RpcEndpointRef<Clock> }>>();
expectTrue<Equal<Arrived<Map<string, RpcEndpointRef<Clock>[]>>, Map<string, RpcEndpointRef<Clock>[]>>>();
type Done = RpcMessages<never, unknown, { done: number }>;
class Worker extends ThreadSafeRpcEndpoint {
  override receive(message: { work: number; answerTo: RpcEndpointRef<Done> }): void {
    message.answerTo.send({ done: message.work });
    // @ts-expect-error -- what it understands is in its type
    message.answerTo.send({ done: "yes" });
  }
  override receiveAndReply(_message: RpcAsk<{ who: true }, RpcEndpointRef<Clock>>): RpcEndpointRef<Clock> {
    return ref;
  }
}
declare const worker: RpcEndpointRef<Worker>;
declare const done: RpcEndpointRef<Done>;
worker.send({ work: 1, answerTo: done });
// @ts-expect-error -- a reference to something that does not understand the answer
worker.send({ work: 1, answerTo: ref });
const who = worker.ask({ who: true });
expectTrue<Equal<typeof who, Promise<RpcEndpointRef<Clock>>>>();

// Any reference can be kept in one list; to talk it needs a type.
const kept: RpcEndpointRef[] = [ref, worker, done];
// @ts-expect-error -- nothing is known of what it understands
kept[0]?.send({ op: "tick" });
// @ts-expect-error -- nor which methods it has
void kept[0]?.call.twice(1);

// Looking up.
const byName = env.setupEndpointRef<typeof Clock>(null, "clock", { verify: false, timeoutMs: 5 });
expectTrue<Equal<typeof byName, Promise<RpcEndpointRef<Clock>>>>();
const byUri = env.setupEndpointRefByURI("ringpost://clock@host:1");
expectTrue<Equal<typeof byUri, Promise<RpcEndpointRef<RpcUntyped>>>>();
// @ts-expect-error -- the address comes first
void env.setupEndpointRef("clock");

// Contexts.
declare const context: RpcContext;
expectTrue<Equal<typeof context.remainingMs, number>>();
void ((call: RpcCallContext<number>) => {
  call.reply(1);
  // @ts-expect-error -- a reply of another type
  call.reply("1");
});
const answered = withContext((inner, n: number) => inner.rpcEnv.name.length + n);
expectTrue<Equal<typeof answered, (n: number) => number>>();

// Events and counts.
env.on("loopCrashed", ({ loop, blamed, restarted, stuck }) => {
  expectTrue<Equal<typeof restarted, readonly string[]>>();
  void [loop, blamed, stuck];
});
env.on("endpointStuck", ({ ageMs }) => expectTrue<Equal<typeof ageMs, number>>());
env.on("deadLetter", (letter) => expectTrue<Equal<ReturnType<typeof letter.message>, unknown>>());
const { endpoints, loops, mainLoop } = env.stats();
void [endpoints[0]?.asks.timedOut, endpoints[0]?.oneWays.deadLettered, loops[0]?.inFlight, mainLoop.delayMs];
// @ts-expect-error -- read only
endpoints.length = 0;
