/**
 * Services: named functions as an endpoint, without a class. A service is what a module exports; each loop that runs it
 * makes its own table of methods from it.
 */
import { types } from "node:util";
import { checkOptions, type OptionKeys, shown } from "../common/check-options.js";
import { RpcError } from "../common/errors.js";
import { LOOPS_MAX } from "../common/limits.js";
import type { RpcContext } from "./rpc-context.js";
import type { RpcEndpointRef } from "./rpc-endpoint-ref.js";
import type { RpcEnvView } from "./rpc-env-view.js";
import type { Checked, RpcService } from "./rpc-protocol.js";

/** What the function of a stateful service is given, once per instance. */
export interface RpcServiceInit<Args = void> {
  readonly args: Args;
  /** The reference of this service. */
  readonly self: RpcEndpointRef;
  readonly rpcEnv: RpcEnvView;
}

/**
 * `serial`: one instance, one message at a time. Otherwise one instance per shared loop, any idle one taking the next.
 * `threadCount`: threads of its own, 1 to 255, instead of the shared loops; a serial service has one at most.
 */
export type RpcServiceOptions =
  | { serial?: false | undefined; threadCount?: number | undefined }
  | { serial: true; threadCount?: 1 | undefined };

const OPTION_KEYS: OptionKeys<RpcServiceOptions> = { serial: true, threadCount: true };

export type ServiceMethod = (...inputs: unknown[]) => unknown;
export type ServiceMethods = Readonly<Record<string, ServiceMethod>>;

/** A service as its loop sees it. */
export interface ServiceInternals {
  /** Makes one instance: own keys only, all functions, bound. Throws or rejects with ERR_RPC_ENDPOINT_START. */
  create(init: RpcServiceInit<unknown>): ServiceMethods | Promise<ServiceMethods>;
  readonly serial: boolean;
  /** Threads of its own; null: the shared loops. */
  readonly threadCount: number | null;
  /** The methods' names; null where they are known only once an instance was made. */
  readonly methods: readonly string[] | null;
}

/** Two copies of this package in one process still recognise each other's services. */
const SERVICE: unique symbol = Symbol.for("ringpost.RpcService");
const WITH_CONTEXT: unique symbol = Symbol.for("ringpost.withContext");

/** `then` would make a promise of the caller's proxy; the others reach into JavaScript's own machinery. */
const REFUSED_NAMES: readonly string[] = ["then", "constructor", "__proto__"];

/**
 * A service without state: the same functions on every loop.
 *
 * @param methods A plain object (or a module namespace) of functions; they may use `this` to call one another.
 * @returns What a module exports as its default, or what `setupEndpoint` takes for the main thread.
 * Throws ERR_RPC_INVALID_ARGUMENT naming the member that is no function or has a refused name.
 */
export function defineService<M extends object>(methods: Checked<M>, options?: RpcServiceOptions): RpcService<M, void> {
  const table = methodTable(methods, "ERR_RPC_INVALID_ARGUMENT");
  return toService<M, void>({ create: () => table, ...checked(options), methods: Object.keys(table) });
}

/**
 * A service with state: `create` runs once for each instance, so state lives in its closure and never in module
 * variables, which all endpoints of one loop would share.
 *
 * @param create Is given `args` of `setupEndpoint`; returns the methods, or a promise of them.
 * Throws ERR_RPC_INVALID_ARGUMENT if it is no function. What it returns is checked at the start of each instance:
 * ERR_RPC_ENDPOINT_START.
 */
export function defineStatefulService<M extends object, Args = void>(
  create: (init: RpcServiceInit<Args>) => M | Promise<M>,
  options?: RpcServiceOptions,
): RpcService<Checked<M>, Args> {
  if (typeof create !== "function") {
    throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `defineStatefulService takes a function, not ${nameOf(create)}`);
  }
  return toService<Checked<M>, Args>({
    create(init) {
      const made = create(init as RpcServiceInit<Args>);
      if (!types.isPromise(made)) return methodTable(made, "ERR_RPC_ENDPOINT_START");
      return made.then((methods) => methodTable(methods, "ERR_RPC_ENDPOINT_START"));
    },
    ...checked(options),
    methods: null,
  });
}

/**
 * Gives a service method its context: first, and invisible to callers.
 * Called directly, as a unit test does, the context is inert: nobody waits, nothing is cancelled, no deadline.
 */
export function withContext<A extends readonly unknown[], R>(
  method: (context: RpcContext, ...inputs: A) => R,
): (...inputs: A) => R {
  const direct = (...inputs: A): R => method(new InertContext(), ...inputs);
  return Object.defineProperty(direct, WITH_CONTEXT, { value: method });
}

/** True for what `defineService` and `defineStatefulService` made, in this or another copy of the package. */
export function isRpcService(value: unknown): value is RpcService {
  return typeof value === "object" && value !== null && SERVICE in value;
}

/** The inside of a service, for the loop that runs it. */
export function serviceInternals(service: RpcService): ServiceInternals {
  return (service as unknown as { readonly [SERVICE]: ServiceInternals })[SERVICE];
}

/** True for a method of a table that wants its context as the first input. */
export function takesContext(method: ServiceMethod): boolean {
  return WITH_CONTEXT in method;
}

function toService<M, Args>(internals: ServiceInternals): RpcService<M, Args> {
  return Object.freeze({ [SERVICE]: Object.freeze(internals) }) as unknown as RpcService<M, Args>;
}

function checked(options: RpcServiceOptions | undefined): { serial: boolean; threadCount: number | null } {
  if (options !== undefined) checkOptions("a service", options, OPTION_KEYS);
  const serial: unknown = options?.serial ?? false;
  const threadCount: unknown = options?.threadCount ?? null;
  if (typeof serial !== "boolean") {
    throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `a service's option serial is true or false, not ${nameOf(serial)}`);
  }
  if (threadCount === null) return { serial, threadCount };
  if (!isThreadCount(threadCount)) {
    const text = `a service's option threadCount must be an integer from 1 to ${LOOPS_MAX - 1}: threadCount=${shown(threadCount)}`;
    throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
  }
  if (serial && threadCount !== 1) {
    const text = `a serial service runs one message at a time on one thread: threadCount=${threadCount}; leave serial out`;
    throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
  }
  return { serial, threadCount };
}

/** True for a number of threads that an isolated endpoint may have: loop ids are one byte, and 0 is the main thread. */
export function isThreadCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value < LOOPS_MAX;
}

/** What a loop calls: own keys without a prototype, each bound to its object. */
function methodTable(methods: unknown, code: "ERR_RPC_INVALID_ARGUMENT" | "ERR_RPC_ENDPOINT_START"): ServiceMethods {
  if (typeof methods !== "object" || methods === null || !isPlain(methods)) {
    throw new RpcError(code, `the methods of a service are a plain object of functions, not ${nameOf(methods)}`);
  }
  const table: Record<string, ServiceMethod> = Object.create(null);
  for (const [name, member] of Object.entries(methods) as [string, unknown][]) {
    if (REFUSED_NAMES.includes(name)) {
      throw new RpcError(code, `a service method may not be called ${name}; refused: ${REFUSED_NAMES.join(", ")}`);
    }
    if (typeof member !== "function") {
      throw new RpcError(code, `a service holds functions only: ${name} is ${nameOf(member)}`);
    }
    table[name] = bound(member as ServiceMethod, methods);
  }
  if (Object.keys(table).length === 0) throw new RpcError(code, "a service needs at least one method");
  return Object.freeze(table);
}

/** An instance of a class keeps its methods in its prototype, where nothing is looked up. */
function isPlain(methods: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(methods);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function bound(member: ServiceMethod, methods: object): ServiceMethod {
  const wrapped = (member as { readonly [WITH_CONTEXT]?: ServiceMethod })[WITH_CONTEXT];
  if (wrapped === undefined) return member.bind(methods);
  return Object.defineProperty(wrapped.bind(methods), WITH_CONTEXT, { value: wrapped });
}

function nameOf(value: unknown): string {
  if (typeof value === "object" && value !== null) return `an instance of ${value.constructor?.name ?? "no class"}`;
  return value === null ? "null" : typeof value;
}

/** The context of a direct call. Its signal never fires. */
class InertContext implements RpcContext {
  get rpcEnv(): RpcEnvView {
    const text =
      "context.rpcEnv: the method was called directly, so there is no environment; call it through a reference";
    throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
  }
  readonly senderAddress = null;
  readonly oneWay = true;
  readonly cancelled = false;
  readonly remainingMs: number = Number.POSITIVE_INFINITY;
  #signal: AbortSignal | null = null;

  get signal(): AbortSignal {
    this.#signal ??= new AbortController().signal;
    return this.#signal;
  }
}
