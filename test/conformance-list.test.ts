/**
 * Goal: the list of what Spark's suites demand, the tests that carry its tags, and the committed docs/conformance.md
 * cannot drift apart.
 * Method: the titles are read from the sources of the suites. A contract suite runs in every form that its entry has, a test
 * file in the form it is named after; the document must be what the generator writes when all of them pass.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import {
  parseTitle,
  problemsOf,
  renderReport,
  resultsOf,
  type TaggedResult,
} from "./conformance/conformance-report.js";
import { type NetworkResult, networkProblemsOf, networkResultsIn } from "./conformance/network-report.js";
import { ALL_ENTRIES, FORM_NAMES, type FormName, SPARK_ENTRIES } from "./conformance/spark-entries.js";
import { NETWORK_ENTRIES } from "./conformance/spark-network-entries.js";

const folder = fileURLToPath(new URL("conformance/", import.meta.url));

const statuses = new Map(ALL_ENTRIES.map(({ id, status }) => [id, status]));

/** A suite is run in every form that its entry has. */
function formsOf(file: string, id: string): readonly FormName[] {
  if (file === "on-message-loops.test.ts") return ["on message loops"];
  if (!file.endsWith(".contract.ts")) return [];
  const status = statuses.get(id);
  return status?.kind === "applies" ? status.forms : FORM_NAMES;
}

/** Every tagged title of the suites, as if it had passed. */
function resultsInSources(): TaggedResult[] {
  return readdirSync(folder).flatMap((file) => {
    const found: TaggedResult[] = [];
    const visit = (node: ts.Node): void => {
      if (ts.isStringLiteralLike(node)) {
        const parsed = parseTitle(node.text);
        if (parsed !== null) {
          found.push(...formsOf(file, parsed.id).map((form) => ({ ...parsed, form, passed: true })));
        }
      }
      ts.forEachChild(node, visit);
    };
    visit(ts.createSourceFile(file, readFileSync(folder + file, "utf8"), ts.ScriptTarget.Latest, true));
    return found;
  });
}

/** The tests of the network have one form, and their files folders of their own. */
function networkResultsInSources(): NetworkResult[] {
  return ["unit/network/", "unit/blocks/", "integration/shuffle/"].flatMap((name) => {
    const unit = fileURLToPath(new URL(name, import.meta.url));
    return readdirSync(unit).flatMap((file) => networkResultsIn(file, readFileSync(unit + file, "utf8")));
  });
}

describe("the list of Spark's network tests", () => {
  test("has every entry once", () => {
    expect(new Set(NETWORK_ENTRIES.map(({ id }) => id)).size).toBe(NETWORK_ENTRIES.length);
  });

  test("has a test for each entry that applies, and no test has a tag of its own", () => {
    expect(networkProblemsOf(networkResultsInSources())).toEqual([]);
  });

  test("names entries without a test, failed tests and unknown tags", () => {
    const one = (id: string, passed: boolean) => ({ id, file: "a.test.ts", passed });
    const problems = networkProblemsOf([one("net StreamSuite.testSingleStream", false), one("net of mine", true)]);
    expect(problems).toContain("[net StreamSuite.testZeroLengthStream] has no test");
    expect(problems).toContain("[net StreamSuite.testSingleStream] failed in a.test.ts");
    expect(problems).toContain("[net of mine] in a.test.ts: no entry has this tag");
  });
});

describe("the list of Spark's tests", () => {
  test("has every number once, in order", () => {
    expect(SPARK_ENTRIES.map(({ id }) => id)).toEqual(SPARK_ENTRIES.map((_, index) => `spark ${index + 1}`));
    expect(new Set(ALL_ENTRIES.map(({ id }) => id)).size).toBe(ALL_ENTRIES.length);
  });

  test("has a test for each entry that applies, in each form, and no test has a tag of its own", () => {
    expect(problemsOf(resultsInSources())).toEqual([]);
  });

  test("is what docs/conformance.md says", () => {
    const document = readFileSync(fileURLToPath(new URL("../docs/conformance.md", import.meta.url)), "utf8");
    expect(document).toBe(renderReport(resultsInSources(), networkResultsInSources()));
  });
});

describe("the report", () => {
  const one = (title: string, form: string, status: string) => ({
    testResults: [{ assertionResults: [{ title, ancestorTitles: [`suite, ${form}`], status }] }],
  });

  test("names entries without a test, failed tests and unknown tags", () => {
    const problems = problemsOf([
      ...resultsOf(one("[spark 1] it fails", "on loop 0", "failed")),
      ...resultsOf(one("[spark 1] it fails", "by secret, on loop 0", "failed")),
      ...resultsOf(one("[gap of mine] it is unknown", "on loop 0", "passed")),
      ...resultsOf(one("[spark 27] it does not apply", "on loop 0", "passed")),
      ...resultsOf(one("without a tag", "on loop 0", "failed")),
    ]);
    expect(problems).toContain("[spark 1] has no test on message loops");
    expect(problems).toContain("[spark 1] it fails: failed on loop 0");
    expect(problems).toContain("[spark 1] it fails: failed by secret, on loop 0");
    expect(problems).toContain("[gap of mine] it is unknown: no entry that applies has this tag");
    expect(problems).toContain("[spark 27] it does not apply: no entry that applies has this tag");
    expect(problems.some((problem) => problem.includes("without a tag"))).toBe(false);
  });

  test("shows a failure, a missing test, and what need not be there", () => {
    const text = renderReport(resultsOf(one("[gap worker crash] it fails", "on message loops", "failed")));
    expect(text).toMatch(/\| gap worker crash \|.* it fails \| \*\*failed\*\* \| – \|/);
    expect(text).toMatch(/\| spark 1 \|.* \*\*none\*\*(?: \| \*\*missing\*\*){7} \|/);
  });
});
