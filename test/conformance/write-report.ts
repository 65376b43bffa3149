/**
 * Writes docs/conformance.md from vitest's JSON report, whose path is the first argument. Exits with 1 when an entry has
 * no test or a failed one, and when the document was not what it should be (it is then, and wants to be committed).
 */
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { problemsOf, renderReport, resultsOf } from "./conformance-report.js";
import { networkProblemsOf, networkResultsOf } from "./network-report.js";

const [reportPath = "build/test-results.json"] = process.argv.slice(2);
const document = join(createRequire(import.meta.url).resolve("ringpost/package.json"), "../docs/conformance.md");

const report = JSON.parse(readFileSync(reportPath, "utf8"));
const results = resultsOf(report);
const network = networkResultsOf(report);
const text = renderReport(results, network);
const problems = [...problemsOf(results), ...networkProblemsOf(network)];
if (readOrNothing(document) !== text) {
  writeFileSync(document, text);
  problems.push("docs/conformance.md was not up to date; it is now, commit it");
}
for (const problem of problems) console.error(problem);
console.log(`conformance: ${results.length + network.length} tagged tests, ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;

function readOrNothing(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
