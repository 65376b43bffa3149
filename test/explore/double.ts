/**
 * The double of the atomics seam, as the text of a variant's double.js. Its functions say to the machine what the
 * thread wants; the `yield` in front of them, which the transform puts there, hands over to the scheduler.
 */
import { CPU_KEY, OpKind } from "./machine.js";

/** The functions of src/inbox/atomics.ts, with what they pass on. */
const SEAM: readonly (readonly [name: string, kind: number, parameters: readonly string[]])[] = [
  ["load", OpKind.LOAD, []],
  ["store", OpKind.STORE, ["a"]],
  ["exchange", OpKind.EXCHANGE, ["a"]],
  ["compareExchange", OpKind.COMPARE_EXCHANGE, ["a", "b"]],
  ["or", OpKind.OR, ["a"]],
  ["and", OpKind.AND, ["a"]],
  ["add", OpKind.ADD, ["a"]],
  ["notify", OpKind.NOTIFY, []],
  ["waitAsync", OpKind.WAIT_ASYNC, []],
];

export const SEAM_NAMES: readonly string[] = SEAM.map(([name]) => name);

/** What the transform puts around plain accesses. The names are not legal in our style, so they cannot collide. */
export const DOUBLE_NAMES: readonly string[] = ["$read", "$write", "$method", "$await"];

export function doubleSource(): string {
  const functions = SEAM.map(([name, kind, parameters]) => {
    const fields = parameters.map((field) => `  cpu.${field} = ${field};\n`).join("");
    const list = ["words", "index", ...parameters].join(", ");
    return `export function ${name}(${list}) {\n  cpu.kind = ${kind};\n  cpu.words = words;\n  cpu.index = index;\n${fields}}\n`;
  });
  return `const cpu = globalThis[Symbol.for(${JSON.stringify(CPU_KEY)})];\n${functions.join("")}${HELPERS}`;
}

const HELPERS = `
function mix(hash, value, factor) {
  const product = Math.imul(hash ^ value, factor);
  return ((product ^ (product >>> 15)) + factor) | 0;
}
function observe(value) {
  cpu.h1 = mix(cpu.h1, value, 0x9e3779b1);
  cpu.h2 = mix(cpu.h2, value, 0x85ebca6b);
}
function observeAny(value) {
  if (typeof value === "number") {
    observe(value);
    if (value !== (value | 0)) observe(value / 4294967296);
  } else if (typeof value === "bigint") {
    observe(Number(BigInt.asIntN(32, value)));
    observe(Number(BigInt.asIntN(32, value >> 32n)));
  } else if (typeof value === "string") {
    for (let i = 0; i < value.length; i++) observe(value.charCodeAt(i));
  } else if (value === true) observe(1);
}
function isShared(view) {
  return ArrayBuffer.isView(view) && view.buffer instanceof SharedArrayBuffer;
}
function observeView(view) {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  for (let i = 0; i < bytes.length; i++) observe(bytes[i]);
}
/** Reads an element. What is not shared is the thread's own, and so a function of what it has read before. */
export function $read(target, index) {
  const value = target[index];
  if (isShared(target)) {
    cpu.touched = true;
    if (value === (value | 0)) observe(value);
    else observeAny(value);
  }
  return value;
}
export function $write(target, index, value) {
  if (isShared(target)) cpu.touched = true;
  target[index] = value;
  return value;
}
/** Calls a method that copies, reads or fills memory if one of the two it deals with is shared. */
export function $method(target, name, ...values) {
  const view = isShared(target);
  const first = isShared(values[0]);
  if (view || first) cpu.touched = true;
  if (first && name === "set") observeView(values[0]);
  if (view && name === "copy") observeView(target);
  const result = target[name](...values);
  if (view) {
    if (ArrayBuffer.isView(result) && result.buffer !== target.buffer) observeView(result);
    else observeAny(result);
  }
  return result;
}
/** An await inside a coloured function: sleeps on a waiter, passes anything else. */
export function* $await(value) {
  if (value instanceof cpu.Waiter) {
    cpu.kind = ${OpKind.SLEEP};
    cpu.waiter = value;
    yield;
  }
  return value;
}
`;
