/**
 * Options objects of the public surface, looked at before anything is done with them: an option that is misspelt would be one
 * that is not given, and a service without its secret. All refusals are ERR_RPC_INVALID_ARGUMENT.
 */
import { RpcError } from "./errors.js";

/** Every key of an options type, so that the compiler finds one that is missing. */
export type OptionKeys<T> = Readonly<Record<keyof T, true>>;

const SHOWN_CHARACTERS_MAX = 128;

/** Throws for what is no object, naming `what` takes it, and for a key that `known` has not. */
export function checkOptions(what: string, given: unknown, known: object): void {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw invalid(`${what} takes an object of options: ${shown(given)}; it has: ${Object.keys(known).join(", ")}`);
  }
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(known, key)) {
      throw invalid(`${what} has no key ${key}; it has: ${Object.keys(known).join(", ")}`);
    }
  }
}

/** Throws unless it can be listened to as an AbortSignal, of this realm or another; undefined and null: there is none. */
export function checkSignal(signal: unknown): void {
  if (signal === undefined || signal === null || signal instanceof AbortSignal) return;
  const { aborted, addEventListener, removeEventListener } = signal as Partial<AbortSignal>;
  if (typeof aborted === "boolean" && [addEventListener, removeEventListener].every(isFunction)) return;
  throw invalid(`signal must be an AbortSignal: signal=${shown(signal)}`);
}

/** Throws for what lacks one of the methods. */
export function checkMethods(what: string, value: unknown, methods: readonly string[]): void {
  const given = value as Readonly<Record<string, unknown>> | null | undefined;
  const missing = methods.filter((method) => typeof given?.[method] !== "function");
  if (missing.length === 0) return;
  throw invalid(`${what} must have ${methods.join(", ")}; it lacks ${missing.join(", ")}: ${what}=${shown(value)}`);
}

/** Throws for what is no text, or an empty one. */
export function checkText(what: string, value: unknown): void {
  if (typeof value !== "string" || value === "") throw invalid(`${what} must be a text: ${what}=${shown(value)}`);
}

/** Throws for what is no array of texts, naming the first that is none. */
export function checkTexts(what: string, values: unknown): void {
  if (!Array.isArray(values)) throw invalid(`${what} must be an array of texts: ${what}=${shown(values)}`);
  for (const [index, value] of values.entries()) checkText(`${what}[${index}]`, value);
}

/**
 * A value in a text, such that a number written as a string is seen to be one. Of objects only what they are: they may hold
 * secrets.
 */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, SHOWN_CHARACTERS_MAX));
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  return Array.isArray(value) ? "an array" : "an object";
}

function isFunction(value: unknown): boolean {
  return typeof value === "function";
}

function invalid(text: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}
