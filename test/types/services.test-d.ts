/** Goal: a service's methods are called as they were written, all async, and what cannot be a method says why. */
import type { RpcContext } from "../../dist/src/rpc/rpc-context.js";
import type { RpcEndpointRef } from "../../dist/src/rpc/rpc-endpoint-ref.js";
import type { RpcEnv } from "../../dist/src/rpc/rpc-env.js";
import type { Arrived } from "../../dist/src/rpc/rpc-protocol.js";
import { defineService, defineStatefulService, withContext } from "../../dist/src/rpc/rpc-service.js";
import { type Equal, expectTrue } from "./assertions.js";

const service = defineService({
  length: (data: Uint8Array, encoding?: string) => data.length + (encoding?.length ?? 0),
  compress: async (data: Uint8Array, options: { level: number }): Promise<Buffer> =>
    Buffer.from([data.length, options.level]),
  first: async <T>(items: T[]): Promise<T | undefined> => items[0],
  slow: withContext((context, count: number) => !context.cancelled && count > 0),
});
declare const ref: RpcEndpointRef<typeof service>;

const length = ref.call.length(new Uint8Array(1));
expectTrue<Equal<typeof length, Promise<number>>>();
const compressed = ref.call.compress(new Uint8Array(1), { level: 1 });
expectTrue<Equal<typeof compressed, Promise<Uint8Array<ArrayBuffer>>>>();
// An async method passes as it is, generics and all.
const first = ref.call.first(["a"]);
expectTrue<Equal<typeof first, Promise<string | undefined>>>();
// The context is invisible to callers.
const slow = ref.call.slow(5);
expectTrue<Equal<typeof slow, Promise<boolean>>>();
const cast: boolean = ref.cast.slow(5);
void cast;
void ref.with({ timeoutMs: 500 }).call.length(new Uint8Array(1));

// @ts-expect-error -- no such method
void ref.call.nope();
// @ts-expect-error -- an argument of the wrong type
void ref.call.length("text");
// @ts-expect-error -- an argument is missing
void ref.call.compress(new Uint8Array(1));
// @ts-expect-error -- an argument too many
void ref.call.length(new Uint8Array(1), "utf8", 3);
// @ts-expect-error -- a property too many
void ref.call.compress(new Uint8Array(1), { level: 1, window: 15 });
// @ts-expect-error -- a reply of another type
const wrongReply: Promise<string> = ref.call.length(new Uint8Array(1));
void wrongReply;
// @ts-expect-error -- a cast has no reply
void ref.cast.slow(5).then;
// @ts-expect-error -- a service is called, not asked
void ref.ask({ method: "slow" });

// @ts-expect-error -- a refused name
defineService({ constructor: () => 1 });
// @ts-expect-error -- a member that is no function
defineService({ size: 1 });
// @ts-expect-error -- a function cannot travel
defineService({ each: (callback: (n: number) => void) => callback(1) });
// @ts-expect-error -- the context comes with withContext
defineService({ slow: (context: RpcContext, n: number) => context.cancelled || n });
// @ts-expect-error -- no such option
defineService({ a: () => 1 }, { serail: true });

// State and args.
const stateful = defineStatefulService(
  ({ args }: { readonly args: { from: number } }) => {
    let count = args.from;
    return { next: () => count++ };
  },
  { serial: true },
);
declare const env: RpcEnv;
const set = env.setupEndpoint<typeof stateful>("ids", "file:///ids.js", { args: { from: 1 } });
expectTrue<Equal<typeof set, Promise<RpcEndpointRef<typeof stateful>>>>();
const next = set.then((ids) => ids.call.next());
expectTrue<Equal<typeof next, Promise<number>>>();
// @ts-expect-error -- it wants args
void env.setupEndpoint<typeof stateful>("ids", "file:///ids.js");

// What arrives.
class Point {
  x = 1;
  move(): void {}
}
expectTrue<Equal<Arrived<Point>, { x: number }>>();
expectTrue<Equal<Arrived<{ at: Date; tags: Set<string> }>, { at: Date; tags: Set<string> }>>();
expectTrue<Equal<Arrived<Map<string, Buffer>>, Map<string, Uint8Array<ArrayBuffer>>>>();
expectTrue<Equal<Arrived<[Point, Error]>, [{ x: number }, Error]>>();
