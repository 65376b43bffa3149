/** Goal: a broken invariant stops the work that broke it and says what should have held. */
import { expect, test } from "vitest";
import { AssertionError, assert, assertUnreachable } from "../../../dist/src/common/assert.js";

test("a condition that holds is silent", () => {
  for (const condition of [true, 1, "a", {}]) expect(assert(condition, "never said")).toBeUndefined();
});

test("one that does not throws its text", () => {
  for (const condition of [false, 0, "", null, undefined]) {
    expect(() => assert(condition, "head <= tail")).toThrow(AssertionError);
    expect(() => assert(condition, "head <= tail")).toThrow("assertion failed: head <= tail");
  }
});

test("what should be unreachable is shown, even if it cannot be written as JSON", () => {
  expect(() => assertUnreachable({ kind: "new" } as never)).toThrow('unreachable value {"kind":"new"}');
  expect(() => assertUnreachable(5n as never)).toThrow("unreachable value 5");
  expect(() => assertUnreachable(undefined as never)).toThrow("unreachable value undefined");
});
