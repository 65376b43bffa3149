/** What docs/conformance.md says of Spark's network suites, made from the list of entries and the results of their tests. */
import { basename } from "node:path";
import type { NetworkEntry } from "./network-entry.js";
import { NETWORK_ENTRIES } from "./spark-network-entries.js";

/** A tagged test that has run. */
export interface NetworkResult {
  readonly id: string;
  /** Its file's name. */
  readonly file: string;
  readonly passed: boolean;
}

const TAG = /^\[(net [^\]]+)\] /;

interface VitestReport {
  readonly testResults: readonly {
    readonly name: string;
    readonly assertionResults: readonly { readonly title: string; readonly status: string }[];
  }[];
}

/** The tagged tests in vitest's JSON report. */
export function networkResultsOf(report: VitestReport): NetworkResult[] {
  return report.testResults.flatMap(({ name, assertionResults }) =>
    assertionResults.flatMap(({ title, status }) => {
      const id = TAG.exec(title)?.[1];
      return id === undefined ? [] : [{ id, file: basename(name), passed: status === "passed" }];
    }),
  );
}

/**
 * The tagged tests of a source, as if they had passed. A tag with a placeholder (`%s`, `${…}`) stands for every entry that
 * it fits, except those of suites that the source does not name.
 */
export function networkResultsIn(file: string, source: string): NetworkResult[] {
  return [...source.matchAll(/["`]\[(net [^\]]+)\] /g)].flatMap(([, tag = ""]) => {
    if (!/%s|\$\{/.test(tag)) return [{ id: tag, file, passed: true }];
    const parts = tag.split(/%s|\$\{[^}]*\}/).map((part) => part.replaceAll(/[.()]/g, "\\$&"));
    const pattern = new RegExp(`^${parts.join("[\\w()]+")}$`);
    return NETWORK_ENTRIES.filter(
      ({ id, suite, status }) => status.kind === "applies" && pattern.test(id) && source.includes(suite),
    ).map(({ id }) => ({ id, file, passed: true }));
  });
}

/** What is wrong: one line for each entry without a test, each failed test, each tag that no entry has. */
export function networkProblemsOf(results: readonly NetworkResult[]): string[] {
  const applying = new Set(NETWORK_ENTRIES.filter(({ status }) => status.kind === "applies").map(({ id }) => id));
  const tested = new Set(results.map(({ id }) => id));
  return [
    ...[...applying].filter((id) => !tested.has(id)).map((id) => `[${id}] has no test`),
    ...results.filter(({ passed }) => !passed).map(({ id, file }) => `[${id}] failed in ${file}`),
    ...results.filter(({ id }) => !applying.has(id)).map(({ id, file }) => `[${id}] in ${file}: no entry has this tag`),
  ];
}

/** The document's part on the network. */
export function renderNetworkReport(results: readonly NetworkResult[]): string[] {
  return [
    "## Spark's network suites",
    "",
    "Of `test/conformance/spark-network-entries.ts`, `spark-block-entries.ts` and `spark-shuffle-entries.ts`: frames and messages",
    "by themselves, everything else over real sockets.",
    "",
    "| suite | Spark's test | checks | tested in `test/unit/network/`, `test/unit/blocks/`, `test/integration/shuffle/` | |",
    "|---|---|---|---|---|",
    ...NETWORK_ENTRIES.flatMap((entry) => row(entry, results)),
    "",
    "### Not applicable",
    "",
    "| suite | Spark's test | checks | why |",
    "|---|---|---|---|",
    ...NETWORK_ENTRIES.flatMap(({ id, suite, checks, status }) =>
      status.kind === "not applicable" ? [`| ${suite} | ${nameOf(id)} | ${checks} | ${status.why} |`] : [],
    ),
    "",
  ];
}

function row({ id, suite, checks, status }: NetworkEntry, results: readonly NetworkResult[]): string[] {
  if (status.kind !== "applies") return [];
  const note = status.note === undefined ? "" : ` (${status.note})`;
  const own = results.filter((result) => result.id === id);
  const files = [...new Set(own.map(({ file }) => file))].sort();
  const tests = files.length === 0 ? "**none**" : files.join(", ");
  const outcome = own.length > 0 && own.every(({ passed }) => passed) ? "passed" : "**failed**";
  return [`| ${suite} | ${nameOf(id)} | ${checks}${note} | ${tests} | ${outcome} |`];
}

function nameOf(id: string): string {
  return id.slice(id.indexOf(".") + 1);
}
