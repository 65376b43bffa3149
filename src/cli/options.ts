/** Reads what `parseArguments` left. Every complaint names the option, the value and the range. */
import { readFileSync } from "node:fs";
import { UsageError } from "./exit.js";

/** Options by their camel-case names: texts as typed, true for one without a value, arrays if repeated. */
export type ParsedOptions = Readonly<Record<string, unknown>>;

interface Range {
  readonly min: number;
  readonly max: number;
}

/** An integer of the range; undefined when it was not given. */
export function integerOption(options: ParsedOptions, flag: string, range: Range): number | undefined {
  const value = options[keyOf(flag)];
  if (value === undefined) return undefined;
  const number = numberOf(value);
  if (Number.isInteger(number) && inRange(number, range)) return number;
  throw new UsageError(`${flag} is an integer from ${range.min} to ${range.max}, not ${String(value)}`);
}

/** A number of the range; undefined when it was not given. */
export function numberOption(options: ParsedOptions, flag: string, range: Range): number | undefined {
  const value = options[keyOf(flag)];
  if (value === undefined) return undefined;
  const number = numberOf(value);
  if (inRange(number, range)) return number;
  throw new UsageError(`${flag} is a number from ${range.min} to ${range.max}, not ${String(value)}`);
}

/** Integers separated by commas, each of the range; undefined when it was not given. */
export function integersOption(options: ParsedOptions, flag: string, range: Range): number[] | undefined {
  const value = options[keyOf(flag)];
  if (value === undefined) return undefined;
  const numbers = String(value).split(",").map(numberOf);
  if (numbers.every((number) => Number.isInteger(number) && inRange(number, range))) return numbers;
  throw new UsageError(
    `${flag} takes integers from ${range.min} to ${range.max}, separated by commas, not ${String(value)}`,
  );
}

/** A text that is not empty; undefined when it was not given. */
export function textOption(options: ParsedOptions, flag: string): string | undefined {
  const [text, ...more] = textsOption(options, flag);
  if (more.length > 0) throw new UsageError(`${flag} is given once, with a value`);
  return text;
}

/** Every text of an option that may be repeated; none of them is empty. */
export function textsOption(options: ParsedOptions, flag: string): string[] {
  const value = options[keyOf(flag)];
  if (value === undefined) return [];
  const texts = (Array.isArray(value) ? value : [value]).map(String);
  if (texts.includes("")) throw new UsageError(`${flag} is empty`);
  return texts;
}

/** A JSON value. */
export function parseJson(flag: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UsageError(`${flag} is no JSON: ${why}; a text is '"text"', with both kinds of quotes`);
  }
}

/** A value that a message may carry: JSON, or after an @ the path of a file whose bytes it is. */
export function inputOf(what: string, text: string): unknown {
  if (!text.startsWith("@")) return parseJson(what, text);
  try {
    return new Uint8Array(readFileSync(text.slice(1)));
  } catch (error) {
    throw new UsageError(`${what} ${text}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

export function flagOption(options: ParsedOptions, flag: string): boolean {
  return options[keyOf(flag)] === true;
}

/** NaN for what is no number, such as a text of spaces. */
function numberOf(value: unknown): number {
  return typeof value === "string" && value.trim() !== "" ? Number(value) : Number.NaN;
}

function keyOf(flag: string): string {
  return flag.slice(2).replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function inRange(value: number, { min, max }: Range): boolean {
  return value >= min && value <= max;
}
