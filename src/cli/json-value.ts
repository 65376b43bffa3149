/**
 * Values that travel, as JSON and as people read them. JSON has fewer kinds of values than messages have: what it lacks
 * is an object with the key `$type`, so that nothing is lost and nothing can be taken for something else.
 *
 * value                              | as JSON
 * -----------------------------------|---------------------------------------------------------------------------------
 * text, finite number, boolean, null | itself
 * array, plain object                | itself; an object with a key $type: { "$type": "Object", "entries": [[key, value]] }
 * undefined                          | { "$type": "undefined" }
 * NaN, Infinity, -Infinity           | { "$type": "number", "value": "NaN" }
 * bigint                             | { "$type": "bigint", "value": "123" }
 * Date                               | { "$type": "Date", "value": "2026-01-31T12:00:00.000Z" }, of an invalid one null
 * Uint8Array and its like            | { "$type": "Uint8Array", "base64": "AAEC" }, by the name of its class
 * Map, Set                           | { "$type": "Map", "entries": [[key, value]] }, { "$type": "Set", "values": [] }
 * Error                              | { "$type": "Error", "name", "message", and its own fields and cause under "fields" }
 * reference                          | { "$type": "ref", "uri": "ringpost://name@host:port" }
 * an object inside of itself         | { "$type": "circular" }: none that has travelled, but a certificate in an error
 */
import { inspect } from "node:util";
import { isRpcEndpointRef } from "../index.js";

/** The value as JSON can say it; see the table above. */
export function toJsonValue(value: unknown): unknown {
  switch (typeof value) {
    case "undefined":
      return { $type: "undefined" };
    case "bigint":
      return { $type: "bigint", value: String(value) };
    case "number":
      return Number.isFinite(value) ? value : { $type: "number", value: String(value) };
    case "object":
      return value === null ? null : onceToJson(value);
    default:
      return value;
  }
}

/** The objects that are written now, each inside of the one before it. */
const open = new Set<object>();

function onceToJson(value: object): unknown {
  if (open.has(value)) return { $type: "circular" };
  open.add(value);
  try {
    return objectToJson(value);
  } finally {
    open.delete(value);
  }
}

function objectToJson(value: object): unknown {
  if (Array.isArray(value)) return value.map(toJsonValue);
  if (isRpcEndpointRef(value)) return { $type: "ref", uri: value.uri };
  if (value instanceof Date) {
    return { $type: "Date", value: Number.isNaN(value.getTime()) ? null : value.toISOString() };
  }
  if (value instanceof Map) return { $type: "Map", entries: entriesToJson(value) };
  if (value instanceof Set) return { $type: "Set", values: [...value].map(toJsonValue) };
  if (value instanceof Error) return errorToJson(value);
  if (value instanceof ArrayBuffer) return { $type: "ArrayBuffer", base64: Buffer.from(value).toString("base64") };
  if (ArrayBuffer.isView(value)) {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    return { $type: value.constructor.name, base64: bytes.toString("base64") };
  }
  if (Object.hasOwn(value, "$type")) return { $type: "Object", entries: entriesToJson(Object.entries(value)) };
  // Object.fromEntries makes a key __proto__ a key like any other.
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, toJsonValue(field)]));
}

function entriesToJson(entries: Iterable<readonly [unknown, unknown]>): unknown[] {
  return Array.from(entries, ([key, value]) => [toJsonValue(key), toJsonValue(value)]);
}

function errorToJson(error: Error): unknown {
  const { name, message, cause } = error;
  const own = Object.entries(error).filter(([key]) => !["name", "message", "stack", "cause"].includes(key));
  const fields = Object.fromEntries(own.map(([key, value]) => [key, toJsonValue(value)]));
  return { $type: "Error", name, message, fields, ...(cause === undefined ? {} : { cause: toJsonValue(cause) }) };
}

/** The value for people: a text as it is, all else as Node.js shows it. */
export function showValue(value: unknown): string {
  if (typeof value === "string") return printable(value);
  return inspect(value, { depth: null, maxArrayLength: 200, maxStringLength: 10_000, breakLength: 100 });
}

/** What a peer says must not move the cursor nor set colours: control characters, but for ends of lines and tabs, are escaped. */
export function printable(text: string): string {
  return text.replaceAll(/(?![\n\t])\p{Cc}/gu, (control) => {
    return `\\x${(control.codePointAt(0) ?? 0).toString(16).padStart(2, "0")}`;
  });
}
