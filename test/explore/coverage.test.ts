/**
 * Goal: every rule of the protocol, every known flaw and pitfall has something that fails when it comes back.
 * Method: the tables of coverage.ts and the mutants against the ADR and the tests; coverage.md is what they say.
 */
import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { FLAWS, PITFALLS, THREAD_MUTANTS, type Watched } from "./coverage.js";
import { GUARDS } from "./guards.js";
import { STEP_MUTANTS } from "./mutants/step-mutants.js";
import { MUTANTS } from "./mutants.js";
import { inboxVariant } from "./scenarios/inbox-parts.js";

const inbox = inboxVariant();
const ALL = [...MUTANTS, ...STEP_MUTANTS];

const adr = readFileSync(new URL("../../docs/adr/0001-shared-memory-protocol.md", import.meta.url), "utf8");
const rules = [...adr.matchAll(/^- (R\d+) /gm)]
  .map((match) => match[1] as string)
  .sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)));

test("every rule of the ADR has a mutant and its scenario", () => {
  expect(rules.length).toBeGreaterThan(20);
  const watched = new Set(ALL.map((mutant) => mutant.rule));
  expect(rules.filter((rule) => !watched.has(rule))).toEqual([]);
  expect([...watched].filter((rule) => !rules.includes(rule))).toEqual([]);
});

test("the tests of mutants on real threads exist", () => {
  expect(THREAD_MUTANTS.filter(({ rule, test }) => !rules.includes(rule) || !exists(test))).toEqual([]);
});

test("what watches flaws and pitfalls exists", () => {
  const missing = [...FLAWS, ...PITFALLS].flatMap(({ id, by }) =>
    by.filter((name) => !exists(name)).map((n) => `${id}: ${n}`),
  );
  expect(missing).toEqual([]);
  expect(FLAWS.map(({ id }) => id)).toEqual(Array.from({ length: 16 }, (_, i) => `F${i + 1}`));
  expect(PITFALLS.map(({ id }) => id)).toEqual(Array.from({ length: 15 }, (_, i) => `${i + 1}`));
});

function exists(name: string): boolean {
  if (name.startsWith("guard: ")) return GUARDS.some((guard) => guard.name === name.slice(7));
  if (!name.startsWith("test/")) return ALL.some((mutant) => mutant.name === name);
  const [file, title] = name.split(" › ") as [string, string];
  const url = new URL(`../../${file}`, import.meta.url);
  return existsSync(url) && readFileSync(url, "utf8").includes(title);
}

test("coverage.md says the same (write it anew with vitest -u)", async () => {
  const lines = ["# What watches the shared-memory protocol", "", "Written by coverage.test.ts; do not edit.", ""];
  lines.push("## Rules", "", "| rule | mutant | where | caught by the scenario |", "|---|---|---|---|");
  for (const rule of rules) {
    for (const mutant of ALL.filter((candidate) => candidate.rule === rule))
      lines.push(`| ${rule} | ${mutant.name} | ${mutant.file} | ${mutant.scenario(inbox).name} |`);
    for (const { name, file, test } of THREAD_MUTANTS.filter((candidate) => candidate.rule === rule))
      lines.push(`| ${rule} | ${name}, on threads | ${file} | ${test} |`);
  }
  lines.push("", "## Flaws that a prototype had", "", ...table(FLAWS), "");
  lines.push("## Pitfalls of rings in shared memory", "", ...table(PITFALLS), "");
  await expect(lines.join("\n")).toMatchFileSnapshot("./coverage.md");
});

function table(rows: readonly Watched[]): string[] {
  return [
    "| | what | fails when it comes back |",
    "|---|---|---|",
    ...rows.map(({ id, what, by }) => `| ${id} | ${what} | ${by.join("; ")} |`),
  ];
}
