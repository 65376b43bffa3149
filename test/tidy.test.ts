/**
 * Goal: the rules of the house hold, and go on holding when nobody remembers them.
 * Method: each rule is a function from files to breaches. It runs on the project, and before that on a small file that
 * breaks it and one that does not, so that a rule that no longer sees anything is itself seen.
 *
 * A breach names the place and the replacement. Allowed exceptions stand here, by name and with their reason.
 */
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { RPC_ERROR_CODES, RpcError } from "../dist/src/common/errors.js";
import {
  builtPackageOnly,
  cycles,
  layers,
  type ModuleOwner,
  moduleOwners,
  workerEntries,
  workerLoads,
} from "./tidy/import-rules.js";
import { type Exceptions, type Rule, readBuilt, readProject, type SourceFile } from "./tidy/project.js";
import {
  bannedTexts,
  clocks,
  documentsNameWhatExists,
  errorDocuments,
  everyTestRuns,
  flagsInDocument,
  flagsInTable,
  noAny,
  noSleeps,
  readmeLinksArePacked,
  sharedMemory,
  sizes,
} from "./tidy/source-rules.js";

const MODULE_OWNERS: readonly ModuleOwner[] = [
  {
    modules: ["node:net", "node:tls", "net", "tls"],
    owners: { "src/network/": "sockets belong to the transport" },
    instead: "use the transport of src/network",
  },
  {
    modules: ["piscina"],
    owners: { "src/dispatcher/loop-host.ts": "hosts the threads" },
    instead: "ask the loop host for a thread",
  },
  {
    modules: ["comlink"],
    owners: { "src/dispatcher/control-plane.ts": "both ends of the control port" },
    instead: "add a call to the control plane",
  },
  { modules: ["msgpackr"], owners: { "src/rpc/": "the codec" }, instead: "use the codec of src/rpc" },
  { modules: ["cac"], owners: { "src/cli/": "the command" }, instead: "parse options in the command" },
];

const ATOMICS_OWNERS: Exceptions = { "src/inbox/atomics.ts": "the seam that the explorer replaces" };
const SHARED_BUFFER_OWNERS: Exceptions = { "src/inbox/": "shared memory lives here" };

const CLOCK_OWNERS: Exceptions = {
  "src/common/clock.ts": "wraps the real clock, timers and random numbers",
  "src/cli/": "above everything that a simulation drives, and may import nothing but the public surface",
};

const SLEEPS: Exceptions = {
  "test/fixtures/block-transfer-main.ts": "a slow reader has a pace of its own; nothing is synchronised by it",
  "test/stress/soak/": "a load has a pace of its own, and its handlers take their time; nothing is synchronised by it",
};
const LONG_FILES: Exceptions = {};

const root = fileURLToPath(new URL("..", import.meta.url));
const project = readProject(root);
const built = readBuilt(root);

interface Case {
  readonly rule: Rule;
  /** The project by default. */
  readonly files?: readonly SourceFile[];
  /** Each breaks the rule once; the breach contains the text. */
  readonly bad: readonly (readonly [says: string, ...files: readonly SourceFile[]])[];
  readonly good?: readonly SourceFile[];
}

function file(path: string, ...lines: string[]): SourceFile {
  return { path, text: `${lines.join("\n")}\n` };
}

const ASK = "src/inbox/a.ts";

const CASES: Readonly<Record<string, Case>> = {
  "a layer imports lower layers only": {
    rule: layers,
    bad: [
      ["may import lower layers only", file("src/common/a.ts", 'import { x } from "../inbox/b.js";')],
      ["may import lower layers only", file(ASK, 'import type { X } from "../rpc/b.js";')],
      ["may import lower layers only", file(ASK, 'type X = import("../env/b.js").X;')],
      ["may import lower layers only", file("src/dispatcher/a.ts", 'export * from "../blocks/b.js";')],
      ["may import lower layers only", file("src/dispatcher/a.ts", 'const m = await import("../env/b.js");')],
      ["may import lower layers only", file("src/env/a.ts", 'import { x } from "../index.js";')],
      ["uses what users have", file("src/cli/a.ts", 'import { x } from "../env/b.js";')],
      ["uses what users have", file("src/cli/a.ts", 'import { x } from "../internal.js";')],
      ["nothing outside src", file("src/env/a.ts", 'import { x } from "../../workers/b.js";')],
      ["import the file itself", file("src/env/a.ts", 'import { x } from "ringpost";')],
      ["is no layer", file("src/utils/a.ts", "export {};")],
    ],
    good: [
      file("src/env/a.ts", 'import "../dispatcher/b.js";', 'import "../common/b.js";', 'import "./c.js";'),
      file("src/index.ts", 'export * from "./env/a.js";'),
      file("src/cli/main.ts", 'import { x } from "../index.js";', 'import "./b.js";'),
    ],
  },
  "no files import each other in a circle": {
    rule: cycles,
    bad: [
      [
        "src/rpc/a.ts → src/rpc/b.ts → src/rpc/a.ts",
        file("src/rpc/a.ts", 'import type { B } from "./b.js";'),
        file("src/rpc/b.ts", 'import { a } from "./a.js";'),
      ],
    ],
    good: [file("src/rpc/a.ts", 'import "./b.js";', 'import "./c.js";'), file("src/rpc/b.ts", 'import "./c.js";')],
  },
  "a package with an owner is imported by its owner only": {
    rule: moduleOwners(MODULE_OWNERS),
    bad: [
      ["use the transport", file("src/env/a.ts", 'import { connect } from "node:net";')],
      ["use the transport", file("src/dispatcher/a.ts", 'import type { TLSSocket } from "node:tls";')],
      ["ask the loop host", file("src/dispatcher/a.ts", 'import { Piscina } from "piscina";')],
      ["control plane", file("src/env/a.ts", 'const { wrap } = await import("comlink");')],
      ["codec", file("src/env/a.ts", 'import { pack } from "msgpackr";')],
      ["in the command", file("src/env/a.ts", 'import cac from "cac";')],
    ],
    good: [
      file("src/network/a.ts", 'import { connect } from "node:net";'),
      file("src/dispatcher/loop-host.ts", 'import { Piscina } from "piscina";'),
    ],
  },
  "a thread entry holds no logic and imports the dispatcher only": {
    rule: workerEntries,
    bad: [
      ["imports ../src/env/a.js", file("workers/a.ts", 'import { x } from "../src/env/a.js";')],
      ["imports msgpackr", file("workers/a.ts", 'import { pack } from "msgpackr";')],
      ["has no logic", file("workers/a.ts", ...Array.from({ length: 30 }, (_, n) => `step(${n});`))],
    ],
    good: [file("workers/a.ts", 'import "node:worker_threads";', 'import "../src/dispatcher/message-loop.js";')],
  },
  "tests, benches and examples import the built package": {
    rule: builtPackageOnly,
    bad: [['import "ringpost"', file("test/unit/a.test.ts", 'import { x } from "../../src/inbox/ring.js";')]],
    good: [file("test/unit/a.test.ts", 'import "ringpost";', 'import "../../dist/src/inbox/ring.js";')],
  },
  "shared memory is named in src/inbox only, atomics in their seam only": {
    rule: sharedMemory(ATOMICS_OWNERS, SHARED_BUFFER_OWNERS),
    bad: [
      ["names Atomics", file("src/env/a.ts", "Atomics.load(words, 0);")],
      ["names Atomics", file("src/inbox/ring.ts", "const { load } = Atomics;")],
      ["names Atomics", file("src/env/a.ts", "globalThis.Atomics.load(words, 0);")],
      ["names SharedArrayBuffer", file("src/rpc/a.ts", "let region: SharedArrayBuffer;")],
      ["names SharedArrayBuffer", file("src/rpc/a.ts", "if (value instanceof SharedArrayBuffer) stop();")],
    ],
    good: [
      file("src/inbox/atomics.ts", "Atomics.load(words, 0);"),
      file("src/inbox/segment.ts", "new SharedArrayBuffer(8);"),
      file("src/rpc/a.ts", "// Atomics", 'types.isSharedArrayBuffer(value) || refuse("SharedArrayBuffer");'),
    ],
  },
  "time, timers and chance come from the clock": {
    rule: clocks(CLOCK_OWNERS),
    bad: [
      ["uses Date.now", file("src/env/a.ts", "const at = Date.now();")],
      ["uses performance.now", file("src/env/a.ts", "const read = performance.now;")],
      ["uses Math.random", file("src/env/a.ts", "const id = Math.random();")],
      ["uses process.hrtime", file("src/env/a.ts", "process.hrtime.bigint();")],
      ["uses new Date()", file("src/env/a.ts", "const at = new Date();")],
      ["uses setTimeout", file("src/env/a.ts", "setTimeout(run, 5);")],
      ["uses setImmediate", file("src/env/a.ts", "queue({ setImmediate });")],
      ["uses setInterval", file("src/env/a.ts", "globalThis.setInterval(run, 5);")],
      ["uses AbortSignal.timeout", file("src/env/a.ts", "AbortSignal.timeout(5);")],
      ["imports node:timers/promises", file("src/env/a.ts", 'import { setTimeout } from "node:timers/promises";')],
    ],
    good: [
      file("src/common/clock.ts", "setTimeout(run, 5);"),
      file("src/env/a.ts", "clock.setTimeout(run, 5);", "new Date(5);", "const fake = { setImmediate: run };"),
    ],
  },
  "nothing is typed any": {
    rule: noAny,
    bad: [["says any", file("src/env/a.ts", "let x = y as any;")]],
    good: [file("src/env/a.ts", "// any", 'let any: unknown = "any";')],
  },
  "every test runs": {
    rule: everyTestRuns,
    bad: [
      ["says it.skip", file("test/a.test.ts", 'it.skip("x", run);')],
      ["says describe.only", file("test/a.test.ts", 'describe.only("x", run);')],
      ["says test.each([1]).skip", file("test/a.test.ts", 'test.each([1]).skip("x", run);')],
      ["says test.skipIf", file("test/a.test.ts", 'test.skipIf(slow)("x", run);')],
    ],
    good: [file("test/a.test.ts", 'test("x", () => reader.skip(4));')],
  },
  "no test sleeps to synchronise": {
    rule: noSleeps(SLEEPS),
    bad: [
      ["sleeps", file("test/a.ts", "await new Promise((resolve) => setTimeout(resolve, 50));")],
      ["sleeps", file("test/a.ts", "await new Promise<void>((done) => { setTimeout(() => done(), 50); });")],
      ["imports a sleep", file("test/a.ts", 'import { setTimeout as sleep } from "node:timers/promises";')],
    ],
    good: [
      file("test/a.ts", "new Promise((_, reject) => setTimeout(() => reject(new Error('late')), 50));"),
      file("test/b.ts", 'import { setImmediate } from "node:timers/promises";'),
    ],
  },
  "files and lines are short, and the list of long files is true": {
    rule: sizes(LONG_FILES),
    bad: [
      ["passes 400 lines", file("src/env/a.ts", ...Array.from({ length: 401 }, () => "step();"))],
      ["has 161 columns", file("src/env/a.ts", "x".repeat(161))],
    ],
    good: [file("src/env/a.ts", ...Array.from({ length: 400 }, () => "x".repeat(160)))],
  },
  "no notes to self, no registry, nothing of one machine": {
    rule: bannedTexts,
    bad: [
      ["do it now", file("src/env/a.ts", `// ${"TO"}DO later`)],
      ["do it now", file("docs/a.md", `${"FIX"}ME`)],
      ["fix the type", file("src/env/a.ts", `// @ts-${"ignore"}`)],
      ["not part of the project", file("docs/a.md", `see ../${"shared"}/x.md`)],
      ["own npm settings", file("docs/a.md", `https://${"registry"}.npmjs.org/ringpost`)],
      ["omit-lockfile-registry-resolved", file("package-lock.json", `"resolved": ${'"https'}://mirror/x.tgz"`)],
      ["path from the repository root", file(".ci/run", `cd ${"/work"}/main`)],
    ],
    good: [
      file("src/env/a.ts", 'import "../shared-loops.js";', "const todo = [];"),
      file("docs/a.md", "see https://example.org/home/x and bench/work/x"),
    ],
  },
  "documents name files that exist": {
    rule: documentsNameWhatExists,
    bad: [
      ["names src/env/gone.ts", file("docs/a.md", "as `src/env/gone.ts` does")],
      ["names docs/gone.md", file("docs/a.md", "see [there](gone.md#part)")],
    ],
    good: [
      file("docs/a.md", "`src/env/` and `src/env/b.ts` and [b](../src/env/b.ts) and [out](https://example.org)"),
      file("src/env/b.ts", "export {};"),
    ],
  },
  "what README.md links to is in the package": {
    rule: readmeLinksArePacked,
    bad: [
      [
        "links to bench/README.md",
        file("README.md", "see [there](bench/README.md)"),
        file("package.json", '{ "files": ["bench/README", "docs"] }'),
      ],
    ],
    good: [
      file("README.md", "[a](docs/a.md#part), [b](bench/README.md), [out](https://example.org)"),
      file("package.json", '{ "files": ["bench/README.md", "docs"] }'),
    ],
  },
  "a message loop loads no pool and no sockets": {
    rule: workerLoads("dist/src/dispatcher/start-message-loop.js"),
    files: built,
    bad: [
      [
        "dist/src/dispatcher/start-message-loop.js → dist/src/a.js → piscina",
        file("dist/src/dispatcher/start-message-loop.js", 'import "../a.js";'),
        file("dist/src/a.js", 'export { Piscina } from "piscina";'),
      ],
      ["is not there", file("dist/workers/other.js", "export {};")],
    ],
    good: [file("dist/src/dispatcher/start-message-loop.js", 'const late = () => import("piscina");')],
  },
  "importing ringpost in a worker loads no pool and no sockets": {
    rule: workerLoads("dist/src/index.js"),
    files: built,
    bad: [["node:net: loaded in workers", file("dist/src/index.js", 'import { connect } from "node:net";')]],
    good: [file("dist/src/index.js", 'const late = () => import("./env/rpc-env.js");')],
  },
};

describe.each(Object.entries(CASES))("%s", (_name, { rule, files = project, bad, good = [] }) => {
  test.each(bad.map(([says, ...broken]) => [says, broken] as const))("it can fail: %s", (says, broken) => {
    const breaches = rule(broken);
    expect(breaches).toHaveLength(1);
    expect(breaches[0]).toContain(says);
  });

  test("it does not cry wolf", () => expect(rule(good)).toEqual([]));

  test("it holds", () => expect(rule(files)).toEqual([]));
});

test("a long file may be listed by name, and only while it is long", () => {
  const rule = sizes({ "src/env/a.ts": "a reason" });
  expect(rule([file("src/env/a.ts", ...Array.from({ length: 401 }, () => "step();"))])).toEqual([]);
  expect(rule([file("src/env/a.ts", "step();")])).toEqual([expect.stringContaining("take it off the list")]);
});

describe("error codes", () => {
  const textOf = (path: string): string => project.find((candidate) => candidate.path === path)?.text ?? "";
  const yesNo = (value: boolean): string => (value ? "yes" : "no");
  const codes = new Map(
    RPC_ERROR_CODES.map((code) => {
      const error = new RpcError(code, "");
      return [code as string, { retryable: yesNo(error.retryable), maybeExecuted: yesNo(error.maybeExecuted) }];
    }),
  );
  const entry = (code: string, flags: string): string => `## ${code}\n\n${flags}\n\nText.\n`;
  const one = new Map([["ERR_RPC_BIND", { retryable: "no", maybeExecuted: "no" }]]);

  test.each([
    ["has no entry", ""],
    ["is no code", entry("ERR_RPC_BIND", "Retryable: no. Maybe executed: no.") + entry("ERR_RPC_GONE", "")],
    ["says retryable yes", entry("ERR_RPC_BIND", "Retryable: yes. Maybe executed: no.")],
    ["says retryable not said", entry("ERR_RPC_BIND", "Nothing.")],
  ])("the comparison can fail: %s", (says, document) => {
    expect(errorDocuments(one, flagsInDocument(document))).toEqual([expect.stringContaining(says)]);
  });

  test("docs/errors.md has one entry for each code, and says of it what the code says", () => {
    expect(errorDocuments(codes, flagsInDocument(textOf("docs/errors.md")))).toEqual([]);
  });

  test("the table in the head of errors.ts says what the code says", () => {
    expect(flagsInTable(textOf("src/common/errors.ts"))).toEqual(codes);
  });
});
