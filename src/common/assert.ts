/**
 * Checks for programmer errors: states this package believes impossible. They stay on in production, because going on
 * with a broken invariant loses messages silently. Expected outcomes are result codes, operating errors are RpcError;
 * neither belongs here.
 */

/** Thrown by `assert` and `assertUnreachable` only. Seeing one means a bug in this package, not in the caller. */
export class AssertionError extends Error {
  override get name(): string {
    return "AssertionError";
  }
}

/**
 * Throws an AssertionError unless `condition` is truthy.
 * `text` says what should have held. Pass a constant string on hot paths: a template would be built on every call.
 */
export function assert(condition: unknown, text: string): asserts condition {
  if (!condition) throw new AssertionError(`assertion failed: ${text}`);
}

/** Closes a switch over a discriminated union: the compiler rejects the call while a case is missing. */
export function assertUnreachable(value: never): never {
  throw new AssertionError(`assertion failed: unreachable value ${describe(value)}`);
}

function describe(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}
