/**
 * `npm run bench -- [name…] [--quick] [--json]`: runs the benches of this folder, all or those named.
 * `--quick` proves that they run and that answers are right, and says nothing about speed.
 */
import { parseArgs } from "node:util";
import { askLocal, type BenchOptions } from "./ask-local.js";

const BENCHES: Readonly<Record<string, (options: BenchOptions) => Promise<object>>> = { "ask-local": askLocal };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: "boolean", default: false }, json: { type: "boolean", default: false } },
});
const names = positionals.length > 0 ? positionals : Object.keys(BENCHES);
const unknown = names.filter((name) => BENCHES[name] === undefined);
if (unknown.length > 0) {
  console.error(`there is no bench ${unknown.join(", ")}; there are: ${Object.keys(BENCHES).join(", ")}`);
  process.exit(2);
}
const log = values.json ? console.error : console.log;
const results: object[] = [];
for (const name of names) {
  log(`== ${name}`);
  results.push((await BENCHES[name]?.({ quick: values.quick, log })) ?? {});
}
if (values.json) console.log(JSON.stringify(results, null, 2));
