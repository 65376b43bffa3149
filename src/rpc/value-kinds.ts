/**
 * Which values travel, and as what. Plain objects, arrays, strings, numbers and Uint8Arrays are MessagePack's own; every
 * other kind is told apart here, by what the value is inside and not by what its class says, so that values of another
 * realm (node:vm, some test runners) count as well.
 */
import { types } from "node:util";
import { MessagePort } from "node:worker_threads";
import { CALLS_BRAND, isReference } from "./ref-handle.js";

/**
 * The first element of a [kind, …] array behind extension 0x76. Frozen: they are the wire's codes as well.
 *
 * kind  | behind it
 * ------|-----------------------------------------------------------------------------------
 * 1     | Set: its items
 * 2     | Date: milliseconds since 1970, NaN for an invalid one
 * 3     | Error: name, message, stack or nil, has a cause, cause or nil, then field names and values in turn
 * 4, 5  | ArrayBuffer, DataView: bytes
 * 6     | RpcEndpointRef: env, name, host or nil, port, then the hints id, generation, replicas
 * 7     | Map: keys and values in turn
 * 8     | plain object with a key that cannot stand in a MessagePack map: keys and values in turn
 * 9     | bytes beside the payload: kind of view (0: Uint8Array), index of the attachment, offset, length in bytes
 * 16–26 | typed arrays in the order of TYPED_ARRAY_NAMES: their bytes in the order of the machine (little-endian)
 */
export const ValueKind = {
  /** Never written by itself: a Uint8Array is MessagePack's own. Names one in an ATTACHED. */
  BYTES: 0,
  SET: 1,
  DATE: 2,
  ERROR: 3,
  ARRAY_BUFFER: 4,
  DATA_VIEW: 5,
  REF: 6,
  MAP: 7,
  ENTRIES: 8,
  ATTACHED: 9,
  TYPED_ARRAY: 16,
} as const;

/** The kind of a typed array is ValueKind.TYPED_ARRAY plus its index here. */
export const TYPED_ARRAY_NAMES = [
  "Int8Array",
  "Uint8ClampedArray",
  "Int16Array",
  "Uint16Array",
  "Int32Array",
  "Uint32Array",
  "Float32Array",
  "Float64Array",
  "BigInt64Array",
  "BigUint64Array",
  "Float16Array",
] as const;

/** How a value is encoded. */
export const Shape = {
  /** Own enumerable string keys: plain objects, instances of classes, objects without a prototype. */
  FIELDS: 0,
  ARRAY: 1,
  MAP: 2,
  SET: 3,
  DATE: 4,
  ERROR: 5,
  /** Uint8Array and its subclasses, Buffer among them. */
  BYTES: 6,
  ARRAY_BUFFER: 7,
  DATA_VIEW: 8,
  TYPED_ARRAY: 9,
  /** Cannot travel: `refusalOf` says why. */
  REFUSED: 10,
  /** A reference; it travels where the codec can pack it. */
  REF: 11,
} as const;
export type Shape = (typeof Shape)[keyof typeof Shape];

/** By prototype, since a class is classified once. */
const shapes = new WeakMap<object, Shape>();

/** The shape of an object or function. */
export function shapeOf(value: object): Shape {
  const prototype: object | null = Object.getPrototypeOf(value);
  if (prototype === null || prototype === Object.prototype) return Shape.FIELDS;
  // Not by prototype: what inherits from Array.prototype need not be an array.
  if (Array.isArray(value)) return Shape.ARRAY;
  let shape = shapes.get(prototype);
  if (shape === undefined) {
    shape = classify(value);
    shapes.set(prototype, shape);
  }
  return shape;
}

function classify(value: object): Shape {
  if (ArrayBuffer.isView(value)) {
    if (value instanceof Uint8Array || types.isUint8Array(value)) return Shape.BYTES;
    if (types.isDataView(value)) return Shape.DATA_VIEW;
    return typedArrayKind(value) === 0 ? Shape.REFUSED : Shape.TYPED_ARRAY;
  }
  // instanceof beside the inner test: what only pretends must not decide for the real ones that share its prototype.
  if (types.isMap(value) || value instanceof Map) return Shape.MAP;
  if (types.isSet(value) || value instanceof Set) return Shape.SET;
  if (types.isDate(value) || value instanceof Date) return Shape.DATE;
  if (types.isNativeError(value) || value instanceof Error) return Shape.ERROR;
  if (types.isArrayBuffer(value) || value instanceof ArrayBuffer) return Shape.ARRAY_BUFFER;
  if (isReference(value)) return Shape.REF;
  return refusalOf(value) === null ? Shape.FIELDS : Shape.REFUSED;
}

/** ValueKind of a typed array that is no Uint8Array; 0 for one of a class this package does not know. */
export function typedArrayKind(view: ArrayBufferView): number {
  const name = (view as unknown as { readonly [Symbol.toStringTag]: string })[Symbol.toStringTag];
  const index = TYPED_ARRAY_NAMES.indexOf(name as (typeof TYPED_ARRAY_NAMES)[number]);
  return index === -1 ? 0 : ValueKind.TYPED_ARRAY + index;
}

type Refusal = readonly [is: (value: object) => boolean, what: string, instead: string];

/** Objects whose content is out of sight of their fields: they would arrive empty. */
const REFUSALS: readonly Refusal[] = [
  [(value) => typeof value === "function", "a function", "send data, and let the receiver call"],
  [types.isPromise, "a Promise", "await it before"],
  [types.isSharedArrayBuffer, "a SharedArrayBuffer", "send a copy of its bytes"],
  [(value) => value instanceof MessagePort, "a MessagePort", "send the name of an endpoint"],
  [types.isWeakMap, "a WeakMap", "send a Map"],
  [types.isWeakSet, "a WeakSet", "send a Set"],
  [(value) => value instanceof WeakRef, "a WeakRef", "send what it refers to"],
  [types.isRegExp, "a RegExp", "send its source and flags"],
  [types.isGeneratorObject, "a generator", "send an array"],
  [types.isBoxedPrimitive, "a boxed primitive", "send the primitive itself"],
  [(value) => value instanceof URL, "a URL", "send its href"],
  [(value) => value instanceof URLSearchParams, "URLSearchParams", "send their string"],
  [(value) => value instanceof AbortSignal, "an AbortSignal", "pass it as an option; the handler has context.signal"],
  [(value) => CALLS_BRAND in value, "what ref.with(…) returned", "send the reference itself: options do not travel"],
  [ArrayBuffer.isView, "a typed array of an unknown class", "send its bytes as a Uint8Array"],
];

/** Why an object or function cannot travel, and what to do; null if it can. */
export function refusalOf(value: object): { readonly what: string; readonly instead: string } | null {
  if (
    ArrayBuffer.isView(value) &&
    (value instanceof Uint8Array || types.isDataView(value) || typedArrayKind(value) !== 0)
  ) {
    return null;
  }
  const refusal = REFUSALS.find(([is]) => is(value));
  return refusal === undefined ? null : { what: refusal[1], instead: refusal[2] };
}
