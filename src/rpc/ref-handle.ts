/**
 * What of a reference travels: a name at an address, and hints that save its receiver a look-up. Plain data, the same on
 * every thread; which class of reference is made of it is the business of whoever gives a codec its `RefPacking`.
 */
import { REF_BRAND } from "./ref-brand.js";
import type { RpcAddress } from "./rpc-address.js";

/** Under it every reference carries its `RefHandle`. */
export const REF_HANDLE: unique symbol = Symbol.for("ringpost.RpcEndpointRef.handle");

/** What `ref.with(…)` returns has it: it looks like a reference, and is none that could travel. */
export const CALLS_BRAND: unique symbol = Symbol.for("ringpost.RpcEndpointCalls");

export interface RefHandle {
  /** The environment that the endpoint belongs to: not its name but an id that no other ever has. */
  readonly env: string;
  readonly name: string;
  /** Where that environment listens; null when it does not. */
  readonly address: RpcAddress | null;
  /** Hints, right when the reference was made: endpoint id, its generation, how many replicas it has. */
  readonly id: number;
  readonly generation: number;
  readonly replicas: number;
}

/** How a codec takes references apart and makes them again on its thread. */
export interface RefPacking {
  /** Throws an RpcError for a reference that must not travel. */
  pack(ref: object): RefHandle;
  /** Must not encode or decode anything by itself. */
  unpack(handle: RefHandle): object;
}

/** True for a reference of this or another copy of the package. Looked at once for each class of objects. */
export function isReference(value: object): boolean {
  return (value as { readonly [REF_BRAND]?: unknown })[REF_BRAND] === true || REF_HANDLE in value;
}

/** The elements of a reference on the wire, behind its kind. */
export function handleParts({ env, name, address, id, generation, replicas }: RefHandle): unknown[] {
  return [env, name, address?.host ?? null, address?.port ?? 0, id, generation, replicas];
}

/** The handle again, from element `index` of `parts` on. Throws a TypeError for what no reference was written as. */
export function readHandle(parts: readonly unknown[], index: number): RefHandle {
  const [env, name, host, port, ...hints] = parts.slice(index);
  const [id, generation, replicas] = hints;
  if (
    typeof env !== "string" ||
    typeof name !== "string" ||
    (host !== null && typeof host !== "string") ||
    !isCount(port) ||
    hints.length !== 3 ||
    !isCount(id) ||
    !isCount(generation) ||
    !isCount(replicas)
  ) {
    throw new TypeError("a reference is incomplete");
  }
  return { env, name, address: host === null ? null : { host, port }, id, generation, replicas };
}

function isCount(value: unknown): value is number {
  return Number.isInteger(value);
}
