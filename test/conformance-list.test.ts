/**
 * Goal: the list of what Spark's suites demand, the tests that carry its tags, and the committed docs/conformance.md
 * cannot drift apart.
 * Method: the titles are read from the sources of the suites. A contract suite runs in every form that its entry has, a test
 * file in its own; the document must be what the generator writes when all of them pass.
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
import { ALL_ENTRIES, FORM_NAMES, type FormName, SPARK_ENTRIES } from "./conformance/spark-entries.js";

const root = fileURLToPath(new URL(".", import.meta.url));
const statuses = new Map(ALL_ENTRIES.map(({ id, status }) => [id, status]));
/** The files that are run in one form only. */
const FILE_FORMS: Readonly<Record<string, FormName>> = {
  "conformance/on-message-loops.test.ts": "on message loops",
  "conformance/on-loop-zero.test.ts": "on loop 0",
};

/** A suite is run in every form that its entries have. */
function formsOf(file: string, id: string): readonly (FormName | null)[] {
  if (id.startsWith("net ")) return [null];
  const one = FILE_FORMS[file];
  if (one !== undefined) return [one];
  const status = statuses.get(id);
  return status?.kind === "applies" ? status.forms : [];
}

/** Every tagged title of the suites, as if it had passed. */
function resultsInSources(): TaggedResult[] {
  const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter(
    (file) => file.endsWith(".contract.ts") || (file.endsWith(".test.ts") && file !== "conformance-list.test.ts"),
  );
  return files.flatMap((file) => {
    const text = readFileSync(root + file, "utf8");
    if (!/\[(?:spark|gap|net) /.test(text)) return [];
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
    visit(ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true));
    return found;
  });
}

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
    expect(document).toBe(renderReport(resultsInSources()));
  });
});

describe("the report", () => {
  const one = (title: string, form: string, status: string) => ({
    testResults: [{ assertionResults: [{ title, ancestorTitles: [`suite, ${form}`], status }] }],
  });

  test("names entries without a test, failed tests and unknown tags", () => {
    const problems = problemsOf([
      ...resultsOf(one("[spark 1] it fails", "on loop 0", "failed")),
      ...resultsOf(one("[gap of mine] it is unknown", "on loop 0", "passed")),
      ...resultsOf(one("[spark 27] it does not apply", "on loop 0", "passed")),
      ...resultsOf(one("without a tag", "on loop 0", "failed")),
      ...resultsOf(one("[net ProtocolSuite.requests] it fails", "on no loop", "failed")),
    ]);
    expect(problems).toContain("[spark 1] has no test on message loops");
    expect(problems).toContain("[spark 1] it fails: failed on loop 0");
    expect(problems).toContain("[net ProtocolSuite.requests] it fails: failed");
    expect(problems).toContain("[net ProtocolSuite.responses] has no test");
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
