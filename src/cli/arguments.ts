/**
 * Reads a command line as it was typed. cac makes a number of every text that looks like one: of the file `012` it makes `12`,
 * and of an empty text `0`, which as a host is every address of the machine. So such texts pass it with a mark, which is taken
 * off behind it; what is to be a number is read as one by its option.
 */
import type { CAC } from "cac";
import { UsageError } from "./exit.js";

/** No argument of a process can hold it. */
const MARK = "\0";

/** Sets `args` and `options` of `cli`: every argument and every value is a text as typed. Throws UsageError for an empty argument. */
export function parseArguments(cli: CAC, argv: readonly string[]): void {
  cli.parse(argv.map(marked), { run: false });
  cli.args = unmarked(cli.args) as typeof cli.args;
  cli.options = Object.fromEntries(Object.entries(cli.options).map(([key, value]) => [key, unmarked(value)]));
  if (cli.args.includes("")) throw new UsageError("an argument is empty");
}

/** A negative number is no option, so it gets the mark as well. */
function marked(text: string): string {
  const [, flag = "", value = text] = /^(--?[^=]+=)(.*)$/s.exec(text) ?? [];
  return Number.isFinite(Number(value)) ? `${flag}${MARK}${value}` : text;
}

function unmarked(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unmarked);
  return typeof value === "string" && value.startsWith(MARK) ? value.slice(MARK.length) : value;
}
