/** Goal: `ask` and `send` take the messages of the endpoint's handlers and no others, and know the replies. */
import type { RpcCallContext, RpcSendContext } from "../../dist/src/rpc/rpc-context.js";
import { ThreadSafeRpcEndpoint, unsupportedMessage } from "../../dist/src/rpc/rpc-endpoint.js";
import type { RpcEndpointRef } from "../../dist/src/rpc/rpc-endpoint-ref.js";
import type { RpcEnv } from "../../dist/src/rpc/rpc-env.js";
import type { RpcMessages } from "../../dist/src/rpc/rpc-messages.js";
import type { RpcAsk, RpcDeferred, RpcReply, RpcUntyped } from "../../dist/src/rpc/rpc-protocol.js";
import { type Equal, expectTrue } from "./assertions.js";

type Get = RpcAsk<{ op: "get" }, number>;
type Name = RpcAsk<{ op: "name"; upper?: boolean }, string>;
type Add = { op: "add"; by: number };

class Counter extends ThreadSafeRpcEndpoint {
  #total = 0;
  override receive(message: Add, _context: RpcSendContext): void {
    this.#total += message.by;
  }
  override receiveAndReply(message: Get | Name, _context: RpcCallContext<number | string>): number | string {
    switch (message.op) {
      case "get":
        return this.#total;
      case "name":
        return message.upper ? "COUNTER" : "counter";
      default:
        return unsupportedMessage(message);
    }
  }
}

declare const env: RpcEnv;
declare const counter: RpcEndpointRef<Counter>;

// A message that names its reply.
expectTrue<Equal<Awaited<ReturnType<typeof askGet>>, number>>();
const askGet = () => counter.ask({ op: "get" });
expectTrue<Equal<Awaited<ReturnType<typeof askName>>, string>>();
const askName = () => counter.ask({ op: "name", upper: true });
expectTrue<Equal<RpcReply<Get>, number>>();

const abortable = counter.askAbortable({ op: "get" }, { timeoutMs: 5 });
expectTrue<Equal<typeof abortable.promise, Promise<number>>>();
abortable.abort();

const accepted: boolean = counter.send({ op: "add", by: 1 });
void accepted;
void counter.with({ timeoutMs: 5, signal: undefined }).ask({ op: "get" });

// @ts-expect-error -- no such message
void counter.ask({ op: "clear" });
// @ts-expect-error -- a one-way message
void counter.ask({ op: "add", by: 1 });
// @ts-expect-error -- a message that is asked
counter.send({ op: "get" });
// @ts-expect-error -- a field of the wrong type
counter.send({ op: "add", by: "1" });
// @ts-expect-error -- a field is missing
counter.send({ op: "add" });
// @ts-expect-error -- a field too many
counter.send({ op: "add", by: 1, twice: true });
// @ts-expect-error -- a field too many in an ask, although another message has it
void counter.ask({ op: "get", upper: true });
// @ts-expect-error -- a reply of another type
const wrongReply: Promise<string> = counter.ask({ op: "get" });
void wrongReply;
// @ts-expect-error -- an option that does not exist
void counter.ask({ op: "get" }, { timeout: 5 });
// @ts-expect-error -- a class has no methods to call
void counter.call.get();

// Overloads, and a reply that is known from the context only.
class Overloaded extends ThreadSafeRpcEndpoint {
  override receiveAndReply(message: { size: true }, context: RpcCallContext<number>): RpcDeferred;
  override receiveAndReply(message: { bytes: true }, context: RpcCallContext<Buffer>): Promise<Buffer>;
  override receiveAndReply(_message: object, context: RpcCallContext<never>): RpcDeferred | Promise<Buffer> {
    return context.defer();
  }
}
declare const overloaded: RpcEndpointRef<Overloaded>;
const size = overloaded.ask({ size: true });
expectTrue<Equal<typeof size, Promise<number>>>();
// A Buffer arrives as a Uint8Array.
const bytes = overloaded.ask({ bytes: true });
expectTrue<Equal<typeof bytes, Promise<Uint8Array<ArrayBuffer>>>>();
// @ts-expect-error -- it takes no one-way messages
overloaded.send({ size: true });

// A protocol without a class.
declare const protocol: RpcEndpointRef<RpcMessages<{ q: string }, { hits: number[] }, { log: string }>>;
const hits = protocol.ask({ q: "x" });
expectTrue<Equal<typeof hits, Promise<{ hits: number[] }>>>();
protocol.send({ log: "x" });
// @ts-expect-error -- asks and sends are not the same
protocol.send({ q: "x" });

// Any reference can be kept; to talk it needs its type, or RpcUntyped.
const kept: RpcEndpointRef = counter;
expectTrue<Equal<typeof kept.name, string>>();
expectTrue<Equal<ReturnType<typeof kept.equals>, boolean>>();
// @ts-expect-error -- nothing is known of what it understands
void kept.ask({ op: "get" });
declare const untyped: RpcEndpointRef<RpcUntyped>;
const unknownReply = untyped.ask({ whatever: 1 });
expectTrue<Equal<typeof unknownReply, Promise<unknown>>>();
void untyped.call.anything?.(1, 2);

// A reference arrives as a reference, in a message and in a reply, at any depth.
type Lookup = RpcAsk<{ find: string }, { found: RpcEndpointRef<Counter> | null; all: Map<string, RpcEndpointRef[]> }>;
declare const names: RpcEndpointRef<RpcMessages<Lookup, never, { register: RpcEndpointRef<Counter> }>>;
const lookup = names.ask({ find: "counter" });
expectTrue<
  Equal<typeof lookup, Promise<{ found: RpcEndpointRef<Counter> | null; all: Map<string, RpcEndpointRef[]> }>>
>();
names.send({ register: counter });
// @ts-expect-error -- a reference to another kind of endpoint
names.send({ register: overloaded });

// Modules and classes lead to the same reference.
const byModule = env.setupEndpoint<{ readonly default: typeof Counter }>("counter", new URL("file:///counter.js"));
expectTrue<Equal<typeof byModule, Promise<RpcEndpointRef<Counter>>>>();
const byClass = env.setupEndpoint<typeof Counter>("counter", "file:///counter.js", { loop: 1 });
expectTrue<Equal<typeof byClass, Promise<RpcEndpointRef<Counter>>>>();
const found = env.endpointRef<Counter>("counter");
expectTrue<Equal<typeof found, RpcEndpointRef<Counter> | null>>();

// args: required, optional, absent.
class Wants extends ThreadSafeRpcEndpoint {
  readonly from: number;
  constructor(args: { from: number }) {
    super();
    this.from = args.from;
  }
}
class May extends ThreadSafeRpcEndpoint {
  readonly from: number;
  constructor(args?: { from: number }) {
    super();
    this.from = args?.from ?? 0;
  }
}
void env.setupEndpoint<typeof Wants>("w", "file:///w.js", { args: { from: 1 } });
void env.setupEndpoint<typeof May>("m", "file:///m.js");
void env.setupEndpoint<typeof May>("m", "file:///m.js", { args: { from: 1 } });
// @ts-expect-error -- its constructor wants args
void env.setupEndpoint<typeof Wants>("w", "file:///w.js");
// @ts-expect-error -- of another type
void env.setupEndpoint<typeof Wants>("w", "file:///w.js", { args: { from: "1" } });
// @ts-expect-error -- its constructor wants none
void env.setupEndpoint<typeof Counter>("c", "file:///c.js", { args: {} });

// Events.
env.on("deadLetter", (letter) => expectTrue<Equal<typeof letter.count, number>>());
env.on("endpointFailed", ({ error }) => void error.code);
// @ts-expect-error -- no such event
env.on("closed", () => {});
