/** What a module defines: read from its default export by the loop that imports it, before anything is started. */
import { RpcError } from "../common/errors.js";
import { LOOPS_MAX } from "../common/limits.js";
import { endpointKind, isEndpointInstance, isIsolated, isSerial, overriddenEvents } from "./rpc-endpoint.js";
import type { RpcEndpointKind } from "./rpc-endpoint-options.js";
import type { RpcService } from "./rpc-protocol.js";
import { isRpcService, isThreadCount, serviceInternals } from "./rpc-service.js";

/** Plain data: it travels from the loop that imported the module to the one that places the endpoint. */
export interface EndpointDescription {
  readonly form: "class" | "service";
  readonly kind: RpcEndpointKind;
  /** The names of a service's methods; null for a class, and for a service that makes them at its start. */
  readonly methods: string[] | null;
  /** `static replicas` of a concurrent class; null: one per shared loop. */
  readonly replicas: number | null;
  /** Threads of its own; null: the shared loops. */
  readonly threadCount: number | null;
  /** The event methods that a class overrides: onConnected, onDisconnected, onNetworkError. */
  readonly events: string[];
}

const EXPECTED =
  "a module exports as its default a class that extends RpcEndpoint or ThreadSafeRpcEndpoint (isolated or not), " +
  "or what defineService or defineStatefulService returned";

/**
 * Describes the default export of a module.
 * Throws ERR_RPC_ENDPOINT_START saying what a module must export, and what this one does.
 */
export function describeDefinition(defaultExport: unknown): EndpointDescription {
  if (isRpcService(defaultExport)) return describeService(defaultExport);
  if (isEndpointInstance(defaultExport)) throw notADefinition("an instance; export the class itself");
  const kind = endpointKind(defaultExport);
  if (kind === null) throw notADefinition(whatItIs(defaultExport));
  const endpointClass = defaultExport as EndpointClass;
  const replicas = replicasOf(endpointClass, kind);
  const threadCount = threadCountOf(endpointClass, kind);
  return { form: "class", kind, methods: null, replicas, threadCount, events: overriddenEvents(endpointClass) };
}

/**
 * Describes what `setupEndpoint` was given instead of a module: an instance, or a service, for the main thread.
 * It is one instance there, whatever its class says of replicas.
 * Throws ERR_RPC_INVALID_ARGUMENT for anything else, and for what has threads of its own.
 */
export function describeInstance(given: unknown): EndpointDescription {
  const description = isRpcService(given) ? describeService(given) : describeObject(given);
  if (!isIsolated(description.kind)) return { ...description, replicas: 1 };
  throw new RpcError(
    "ERR_RPC_INVALID_ARGUMENT",
    "an isolated endpoint has its own threads, and this one stands on the main thread: pass the URL of its module",
  );
}

function describeObject(given: unknown): EndpointDescription {
  const kind = isEndpointInstance(given) ? endpointKind(given) : null;
  if (kind !== null) {
    return { form: "class", kind, methods: null, replicas: null, threadCount: null, events: overriddenEvents(given) };
  }
  const what =
    endpointKind(given) === null ? whatItIs(given) : "a class; pass an instance of it, or the URL of its module";
  const text = `setupEndpoint takes a module's URL, an instance of an endpoint class, or a service, not ${what}`;
  throw new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}

function describeService(service: RpcService): EndpointDescription {
  const { serial, threadCount, methods } = serviceInternals(service);
  const isolated = serial ? "isolated-serial" : "isolated";
  const shared = serial ? "serial" : "concurrent";
  return {
    form: "service",
    kind: threadCount === null ? shared : isolated,
    methods: methods === null ? null : [...methods],
    replicas: null,
    threadCount,
    events: [],
  };
}

interface EndpointClass {
  readonly name: string;
  readonly replicas?: unknown;
  readonly threadCount?: unknown;
}

function replicasOf(endpointClass: EndpointClass, kind: RpcEndpointKind): number | null {
  const replicas = endpointClass.replicas;
  if (replicas === undefined) return null;
  const name = endpointClass.name || "the endpoint class";
  if (typeof replicas !== "number" || !Number.isInteger(replicas) || replicas < 1) {
    throw new RpcError("ERR_RPC_ENDPOINT_START", `${name}.replicas must be a positive integer: ${String(replicas)}`);
  }
  if (isIsolated(kind)) {
    const text = `${name} is isolated and has one replica on each of its own threads, but says replicas=${replicas}`;
    throw new RpcError("ERR_RPC_ENDPOINT_START", `${text}; say threadCount instead`);
  }
  if (kind === "serial" && replicas !== 1) {
    throw new RpcError(
      "ERR_RPC_ENDPOINT_START",
      `${name} is a ThreadSafeRpcEndpoint and has one instance, but says replicas=${replicas}; extend RpcEndpoint for more`,
    );
  }
  return replicas;
}

function threadCountOf(endpointClass: EndpointClass, kind: RpcEndpointKind): number | null {
  const threadCount = endpointClass.threadCount;
  const name = endpointClass.name || "the endpoint class";
  if (!isIsolated(kind)) {
    if (threadCount === undefined) return null;
    const text = `${name} says threadCount=${String(threadCount)}, but only isolated endpoints have threads of their own`;
    throw new RpcError("ERR_RPC_ENDPOINT_START", `${text}; extend IsolatedRpcEndpoint`);
  }
  if (!isThreadCount(threadCount)) {
    const text = `${name}.threadCount must be an integer from 1 to ${LOOPS_MAX - 1}: ${String(threadCount)}`;
    throw new RpcError("ERR_RPC_ENDPOINT_START", text);
  }
  if (isSerial(kind) && threadCount !== 1) {
    const text = `${name} is an IsolatedThreadSafeRpcEndpoint and has one thread, but says threadCount=${threadCount}`;
    throw new RpcError("ERR_RPC_ENDPOINT_START", `${text}; extend IsolatedRpcEndpoint for more`);
  }
  return threadCount;
}

function notADefinition(what: string): RpcError {
  return new RpcError("ERR_RPC_ENDPOINT_START", `${EXPECTED}; this one exports ${what}`);
}

function whatItIs(value: unknown): string {
  if (value === undefined) return "no default";
  if (value === null) return "null";
  if (typeof value === "function") return `the function or class ${value.name || "without a name"}`;
  if (typeof value === "object") return "an object; did you mean defineService({ … })?";
  return `a ${typeof value}`;
}
