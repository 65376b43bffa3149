/**
 * Goal: each line of docs/guarantees.md leads to the test that proves it, and goes on doing so when tests are renamed.
 * Method: lines refer to definitions at the end of the document, each a file and the title of a test as its source has it.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";

interface Proof {
  readonly name: string;
  /** From the repository root. */
  readonly file: string;
  readonly title: string;
}

const TEST_CALLS = ["test", "describe"];
const TESTLESS = "## What is not promised";

function read(path: string): string {
  return readFileSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), "utf8");
}

function proofs(document: string): Proof[] {
  return [...document.matchAll(/^\[([\w-]+)\]: \.\.\/(\S+) "(.+)"$/gm)].map(([, name = "", file = "", title = ""]) => {
    return { name, file, title };
  });
}

/** What `test`, `describe` and `test.each(…)` are given as a title. */
function titles(source: string): Set<string> {
  const found = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node)) {
      let root: ts.Expression = node.expression;
      while (ts.isPropertyAccessExpression(root) || ts.isCallExpression(root)) root = root.expression;
      const [title] = node.arguments;
      if (ts.isIdentifier(root) && TEST_CALLS.includes(root.text) && title !== undefined) {
        if (ts.isStringLiteralLike(title)) found.add(title.text);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile("x.ts", source, ts.ScriptTarget.Latest, true));
  return found;
}

/** Promises and rows of tables that lead to no test; the names that lines use. */
function lines(document: string): { unproven: string[]; used: Set<string> } {
  const promises = document
    .split(/^## /m)
    .filter((section) => !TESTLESS.endsWith(section.split("\n")[0] ?? ""))
    .flatMap((section) => section.split(/^(?=- |\| )|\n\n/m))
    .filter((line) => /^(- \*\*|\| (?!what |\| in Spark))/.test(line));
  const uses = (text: string): string[] => [...text.matchAll(/\[\d\]\[([\w-]+)\]/g)].map(([, name = ""]) => name);
  return {
    unproven: promises.filter((line) => uses(line).length === 0 && !/ later(?:\.|:| )/.test(line)),
    used: new Set(uses(document)),
  };
}

describe("docs/guarantees.md", () => {
  const document = read("docs/guarantees.md");

  test("names tests that exist", () => {
    const bySource = new Map<string, Set<string>>();
    for (const { file } of proofs(document)) bySource.set(file, titles(read(file)));
    const wrong = proofs(document).filter(({ file, title }) => !bySource.get(file)?.has(title));
    expect(wrong).toEqual([]);
    expect(proofs(document).length).toBeGreaterThan(50);
  });

  test("has a test for each promise, and uses each definition", () => {
    const { unproven, used } = lines(document);
    expect(unproven).toEqual([]);
    expect([...used].sort()).toEqual(
      proofs(document)
        .map(({ name }) => name)
        .sort(),
    );
  });
});

test("the check can fail", () => {
  expect(titles('test.each([1])("a %i", run); describe("of", run); other("b", run);')).toEqual(new Set(["a %i", "of"]));
  expect(proofs('[a-b]: ../test/x.test.ts "says "so""\n')).toEqual([
    { name: "a-b", file: "test/x.test.ts", title: 'says "so"' },
  ]);
  const { unproven, used } = lines(
    "## A\n\n- **One.** Text. [1][a]\n- **Two.** Text\n  on. [1][b] [2][c]\n- **Three.**\n",
  );
  expect([unproven, [...used]]).toEqual([["- **Three.**\n"], ["a", "b", "c"]]);
});
