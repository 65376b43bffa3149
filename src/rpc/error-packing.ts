/**
 * Errors as data: [name, message, stack or null, has a cause, cause or null, then field names and values in turn].
 * An error is never lost for what hangs on it: fields that cannot travel (functions, sockets, cycles, getters that
 * throw) are left out, and so are causes beyond the depth limit.
 */
import { isRpcErrorCode, RpcError, type RpcErrorOptions } from "../common/errors.js";
import { ERROR_CAUSE_DEPTH_MAX } from "../common/limits.js";
import { findProblem } from "./find-problem.js";

/** Errors being encoded, outermost first: each is the cause or in a field of the one before. */
const open: Error[] = [];

/**
 * The parts of an error in their order on the wire; between `beginError` and `endError` its inner errors are encoded.
 * @param depthMax Containers inside containers that travel in a part.
 * @param withStack The stack travels, too.
 */
export function beginError(error: Error, refsTravel: boolean, depthMax: number, withStack: boolean): unknown[] {
  const parts: unknown[] = [
    text(error, "name") ?? "Error",
    text(error, "message") ?? "",
    withStack ? text(error, "stack") : null,
    false,
    null,
  ];
  const depth = open.length;
  const again = open.includes(error);
  open.push(error);
  // An error inside itself, or too deep, keeps its name, message and stack.
  if (again || depth > ERROR_CAUSE_DEPTH_MAX) return parts;
  if (depth < ERROR_CAUSE_DEPTH_MAX && Object.hasOwn(error, "cause")) {
    const cause = travelling(error, "cause", refsTravel, depthMax);
    if (cause !== NOTHING) {
      parts[3] = true;
      parts[4] = cause;
    }
  }
  const fields = Object.keys(error).filter((key) => !OWN_PARTS.has(key));
  // Not enumerable where it matters: `code` of a DOMException, `errors` of an AggregateError.
  for (const key of ["code", "errors"]) if (key in error && !fields.includes(key)) fields.push(key);
  for (const field of fields) {
    const value = travelling(error, field, refsTravel, depthMax);
    if (value !== NOTHING) parts.push(field, value);
  }
  return parts;
}

export function endError(): void {
  open.pop();
}

const OWN_PARTS: ReadonlySet<string> = new Set(["name", "message", "stack", "cause"]);
const NOTHING = Symbol("nothing");

function travelling(error: Error, field: string, refsTravel: boolean, depthMax: number): unknown {
  try {
    const value = (error as unknown as Record<string, unknown>)[field];
    return findProblem(value, depthMax, refsTravel) === null ? value : NOTHING;
  } catch {
    return NOTHING;
  }
}

function text(error: Error, part: "name" | "message" | "stack"): string | null {
  try {
    const value: unknown = error[part];
    return typeof value === "string" ? value : null;
  } catch {
    return null;
  }
}

type ErrorClass = new (message: string, options?: { cause: unknown }) => Error;

/** The classes of the language: an error of one of these names is one of them again. */
const CLASSES: ReadonlyMap<unknown, ErrorClass> = new Map<unknown, ErrorClass>(
  [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((type) => [type.name, type]),
);

/** The error again, from element `index` of `parts` on. Throws a TypeError for what no error was written as. */
export function readError(parts: readonly unknown[], index: number): Error {
  const [name, message, stack, hasCause, cause] = parts.slice(index, index + 5);
  const fields = parts.slice(index + 5);
  if (
    typeof name !== "string" ||
    typeof message !== "string" ||
    typeof hasCause !== "boolean" ||
    fields.length % 2 !== 0
  ) {
    throw new TypeError("an error is incomplete");
  }
  const names = new Map<string, unknown>();
  for (let at = 0; at < fields.length; at += 2) {
    const field = fields[at];
    // Nobody writes these as fields: behind the parts they would change what was checked there.
    if (typeof field !== "string" || OWN_PARTS.has(field)) throw new TypeError("a field of an error has no name");
    names.set(field, fields[at + 1]);
  }
  const error = withoutStack(() => makeError(name, message, hasCause ? { cause } : undefined, names));
  if (error.name !== name) hide(error, "name", name);
  hide(error, "stack", typeof stack === "string" ? stack : `${name}: ${message}`);
  for (const [field, value] of names) {
    const property = {
      value,
      writable: true,
      configurable: true,
      enumerable: !(error instanceof AggregateError) || field !== "errors",
    };
    Object.defineProperty(error, field, property);
  }
  return error;
}

function makeError(
  name: string,
  message: string,
  options: { cause: unknown } | undefined,
  fields: ReadonlyMap<string, unknown>,
): Error {
  const code = fields.get("code");
  if (name === "RpcError" && isRpcErrorCode(code) && hasFlags(fields)) {
    return new RpcError(code, message, { ...options, ...(Object.fromEntries(fields) as RpcErrorOptions) });
  }
  if (name === "AggregateError") return new AggregateError([], message, options);
  return new (CLASSES.get(name) ?? Error)(message, options);
}

/** What our own errors say of themselves is what their type says: else it is somebody else's. */
function hasFlags(fields: ReadonlyMap<string, unknown>): boolean {
  return typeof fields.get("retryable") === "boolean" && typeof fields.get("maybeExecuted") === "boolean";
}

/** The stack of the place that decodes says nothing, and costs more than the rest. */
function withoutStack(make: () => Error): Error {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return make();
  } finally {
    Error.stackTraceLimit = limit;
  }
}

function hide(error: Error, key: string, value: unknown): void {
  Object.defineProperty(error, key, { value, writable: true, configurable: true, enumerable: false });
}
