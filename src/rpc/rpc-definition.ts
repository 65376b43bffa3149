/** What a module defines: read from its default export by the loop that imports it, before anything is started. */
import { RpcError } from "../common/errors.js";
import { endpointKind, isEndpointInstance, type RpcEndpointKind } from "./rpc-endpoint.js";
import { isRpcService, serviceInternals } from "./rpc-service.js";

/** Plain data: it travels from the loop that imported the module to the one that places the endpoint. */
export interface EndpointDescription {
  readonly form: "class" | "service";
  readonly kind: RpcEndpointKind;
  /** The names of a service's methods; null for a class, and for a service that makes them at its start. */
  readonly methods: string[] | null;
  /** `static replicas` of a concurrent class; null: one per shared loop. */
  readonly replicas: number | null;
}

const EXPECTED =
  "a module exports as its default a class that extends RpcEndpoint or ThreadSafeRpcEndpoint, " +
  "or what defineService or defineStatefulService returned";

/**
 * Describes the default export of a module.
 * Throws ERR_RPC_ENDPOINT_START saying what a module must export, and what this one does.
 */
export function describeDefinition(defaultExport: unknown): EndpointDescription {
  if (isRpcService(defaultExport)) {
    const { serial, methods } = serviceInternals(defaultExport);
    return {
      form: "service",
      kind: serial ? "serial" : "concurrent",
      methods: methods === null ? null : [...methods],
      replicas: null,
    };
  }
  if (isEndpointInstance(defaultExport)) throw notADefinition("an instance; export the class itself");
  const kind = endpointKind(defaultExport);
  if (kind === null) throw notADefinition(whatItIs(defaultExport));
  return { form: "class", kind, methods: null, replicas: replicasOf(defaultExport as EndpointClass, kind) };
}

interface EndpointClass {
  readonly name: string;
  readonly replicas?: unknown;
}

function replicasOf(endpointClass: EndpointClass, kind: RpcEndpointKind): number | null {
  const replicas = endpointClass.replicas;
  if (replicas === undefined) return null;
  const name = endpointClass.name || "the endpoint class";
  if (typeof replicas !== "number" || !Number.isInteger(replicas) || replicas < 1) {
    throw new RpcError("ERR_RPC_ENDPOINT_START", `${name}.replicas must be a positive integer: ${String(replicas)}`);
  }
  if (kind === "serial" && replicas !== 1) {
    throw new RpcError(
      "ERR_RPC_ENDPOINT_START",
      `${name} is a ThreadSafeRpcEndpoint and has one instance, but says replicas=${replicas}; extend RpcEndpoint for more`,
    );
  }
  return replicas;
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
