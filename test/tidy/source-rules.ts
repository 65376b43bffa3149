/**
 * Rules on what a file says: names with an owner, sizes, notes to self, tests that do not run, texts that would be
 * wrong on another machine, documents that name what is not there.
 */
import { posix } from "node:path";
import ts from "typescript";
import { type Exceptions, importsOf, isExcepted, parse, placeOf, type Rule, type SourceFile, walk } from "./project.js";

function scripts(files: readonly SourceFile[], ...folders: string[]): SourceFile[] {
  return files.filter((file) => /\.[cm]?ts$/.test(file.path) && folders.some((folder) => file.path.startsWith(folder)));
}

/** One breach for each node of each file for which `find` has something to say. */
function eachNode(files: readonly SourceFile[], find: (node: ts.Node) => string | null): string[] {
  return files.flatMap((file) => {
    const breaches: string[] = [];
    walk(parse(file), (node) => {
      const text = find(node);
      if (text !== null) breaches.push(`${placeOf(file, node)} ${text}`);
    });
    return breaches;
  });
}

/** An identifier that means the global of that name: not a property, a member, a key or a declaration called the same. */
function isReference(node: ts.Node): node is ts.Identifier {
  if (!ts.isIdentifier(node)) return false;
  const parent = node.parent;
  if (ts.isPropertyAccessExpression(parent) && parent.name === node) return isGlobalThis(parent.expression);
  if (ts.isQualifiedName(parent)) return parent.left === node;
  if (ts.isShorthandPropertyAssignment(parent)) return true;
  return !("name" in parent && parent.name === node);
}

function isGlobalThis(node: ts.Node): boolean {
  return ts.isIdentifier(node) && (node.text === "globalThis" || node.text === "global");
}

/** Shared memory is named by its owners only, so that the explorer sees every access. */
export function sharedMemory(atomicsOwners: Exceptions, bufferOwners: Exceptions): Rule {
  return (files) =>
    scripts(files, "src/", "workers/").flatMap((file) =>
      eachNode([file], (node) => {
        if (!isReference(node)) return null;
        if (node.text === "Atomics" && !isExcepted(file.path, atomicsOwners)) {
          return `names Atomics; call the functions of src/inbox/atomics.ts, which the explorer can replace (only in src/inbox)`;
        }
        if (node.text === "SharedArrayBuffer" && !isExcepted(file.path, bufferOwners)) {
          return "names SharedArrayBuffer; use a type or function of src/inbox, or types.isSharedArrayBuffer of node:util";
        }
        return null;
      }),
    );
}

const CLOCK_CALLS = new Set(["Date.now", "performance.now", "Math.random", "process.hrtime", "AbortSignal.timeout"]);
const CLOCK_GLOBALS = new Set(["setTimeout", "setInterval", "setImmediate"]);
const CLOCK_MODULES = new Set(["node:timers", "node:timers/promises"]);

/** Time, timers and chance come from the injected Clock, so that a simulation can drive them. */
export function clocks(owners: Exceptions): Rule {
  const instead = "take it from the injected Clock (src/common/clock.ts)";
  return (files) =>
    scripts(files, "src/", "workers/")
      .filter((file) => !isExcepted(file.path, owners))
      .flatMap((file) => [
        ...importsOf(file)
          .filter(({ specifier }) => CLOCK_MODULES.has(specifier))
          .map(({ specifier, place }) => `${place} imports ${specifier}; ${instead}`),
        ...eachNode([file], (node) => {
          if (ts.isPropertyAccessExpression(node) && CLOCK_CALLS.has(node.getText())) {
            return `uses ${node.getText()}; ${instead}`;
          }
          if (ts.isNewExpression(node) && node.expression.getText() === "Date" && !node.arguments?.length) {
            return `uses new Date(); ${instead}`;
          }
          return isReference(node) && CLOCK_GLOBALS.has(node.text) ? `uses ${node.text}; ${instead}` : null;
        }),
      ]);
}

export const noAny: Rule = (files) =>
  eachNode(scripts(files, "src/", "workers/"), (node) => {
    return node.kind === ts.SyntaxKind.AnyKeyword ? "says any; say unknown and narrow it, or name the type" : null;
  });

const TEST_ROOTS = new Set(["it", "test", "describe", "suite", "bench"]);
const NOT_RUN = new Set(["skip", "only", "todo", "skipIf", "runIf", "fails"]);

/** A test that does not run, or keeps others from running, proves nothing. */
export const everyTestRuns: Rule = (files) =>
  eachNode(scripts(files, "test/", "bench/"), (node) => {
    if (!ts.isPropertyAccessExpression(node) || !NOT_RUN.has(node.name.text)) return null;
    let root: ts.Expression = node.expression;
    while (ts.isPropertyAccessExpression(root) || ts.isCallExpression(root)) root = root.expression;
    if (!ts.isIdentifier(root) || !TEST_ROOTS.has(root.text)) return null;
    return `says ${node.getText()}; make the test pass everywhere, or delete it and say why in the commit`;
  });

/** A sleep hopes that something has happened by then: slow where it has, wrong where it has not. */
export function noSleeps(exceptions: Exceptions): Rule {
  const instead = "await the event itself (a reply, an event of env, a once(), expect.poll)";
  return (files) =>
    scripts(files, "test/")
      .filter((file) => !isExcepted(file.path, exceptions))
      .flatMap((file) => [
        ...eachNode([file], (node) => (isSleep(node) ? `sleeps; ${instead}` : null)),
        ...eachNode([file], (node) => {
          if (!ts.isImportDeclaration(node) || !node.moduleSpecifier.getText().includes("timers/promises")) return null;
          return /\b(setTimeout|scheduler)\b|\* as/.test(node.getText()) ? `imports a sleep; ${instead}` : null;
        }),
      ]);
}

/** `new Promise((resolve) => setTimeout(resolve, …))`, also as `() => resolve()`. */
function isSleep(node: ts.Node): boolean {
  if (!ts.isNewExpression(node) || node.expression.getText() !== "Promise") return false;
  const executor = node.arguments?.[0];
  if (executor === undefined || !(ts.isArrowFunction(executor) || ts.isFunctionExpression(executor))) return false;
  const resolve = executor.parameters[0]?.name.getText();
  let found = false;
  walk(executor.body, (inner) => {
    if (!ts.isCallExpression(inner) || !/(^|\.)setTimeout$/.test(inner.expression.getText())) return;
    const callback = inner.arguments[0];
    if (callback === undefined || resolve === undefined) return;
    if (callback.getText() === resolve) found = true;
    else if (ts.isArrowFunction(callback) && callback.body.getText().replaceAll(/[{};\s]/g, "") === `${resolve}()`)
      found = true;
  });
  return found;
}

const FILE_LINES_MAX = 400;
const LINE_LENGTH_MAX = 160;

/** Long files are listed by name with a reason; a name that is no longer needed must go, so the list only shrinks. */
export function sizes(longFiles: Exceptions): Rule {
  return (files) => {
    const all = files.filter((file) => /\.(ts|mjs)$/.test(file.path));
    const long = all.filter((file) => file.text.trimEnd().split("\n").length > FILE_LINES_MAX);
    return [
      ...long
        .filter((file) => !isExcepted(file.path, longFiles))
        .map((file) => `${file.path} passes ${FILE_LINES_MAX} lines; look for the second idea in it and move that out`),
      ...Object.keys(longFiles)
        .filter((path) => !long.some((file) => file.path === path))
        .map((path) => `${path} is listed as a long file and is none; take it off the list`),
      ...all.flatMap((file) =>
        file.text.split("\n").flatMap((line, index) => {
          if (line.length <= LINE_LENGTH_MAX) return [];
          return [
            `${file.path}:${index + 1} has ${line.length} columns, ${LINE_LENGTH_MAX} are allowed; break the line`,
          ];
        }),
      ),
    ];
  };
}

interface BannedText {
  readonly pattern: RegExp;
  readonly instead: string;
}

/** The patterns are written so that they do not match themselves. */
const BANNED_TEXTS: readonly BannedText[] = [
  { pattern: /\b(TO[D]O|FIX[M]E)\b/, instead: "do it now, or open an issue and say nothing here" },
  { pattern: /@ts-(ignore|nochec[k])/, instead: "fix the type, or use @ts-expect-error with a reason" },
  { pattern: /\.\.\/share[d](?![\w-])/, instead: "say here what the other text says; it is not part of the project" },
  {
    pattern: /\bregistry\.[a-z0-9-]+\.[a-z]+|npm\.pk[g]\./,
    instead: "leave the registry to the user's own npm settings",
  },
  { pattern: /"resolved":\s*"http/, instead: "re-create the entry with omit-lockfile-registry-resolved=true (.npmrc)" },
  {
    pattern: /(?<![\w.:/])\/(work|root|home|Users)\/\w/,
    instead: "use a path from the repository root or import.meta.url",
  },
];

export const bannedTexts: Rule = (files) =>
  files.flatMap((file) =>
    file.text.split("\n").flatMap((line, index) =>
      BANNED_TEXTS.flatMap(({ pattern, instead }) => {
        const match = pattern.exec(line);
        return match === null ? [] : [`${file.path}:${index + 1} says "${match[0]}"; ${instead}`];
      }),
    ),
  );

/** What README.md links to is in the package with it: npm shows it there. */
export const readmeLinksArePacked: Rule = (files) => {
  const textOf = (path: string): string => files.find((file) => file.path === path)?.text ?? "";
  const packed = (JSON.parse(textOf("package.json") || "{}") as { files?: string[] }).files ?? [];
  return [...textOf("README.md").matchAll(/\]\(([^)#\s:]+)(?:#[^)]*)?\)/g)]
    .map(([, path = ""]) => path)
    .filter((path) => !packed.some((entry) => path === entry || path.startsWith(`${entry}/`)))
    .map((path) => `README.md links to ${path}, which is not in the package; add it to \`files\` of package.json`);
};

/** Files of ours that documents name in backquotes, and the targets of their relative links, are there. */
export const documentsNameWhatExists: Rule = (files) => {
  const paths = new Set(files.map((file) => file.path));
  const exists = (path: string): boolean => {
    const name = path.replace(/\/$/, "");
    return name === "" || name === "." || paths.has(name) || files.some((file) => file.path.startsWith(`${name}/`));
  };
  return files
    .filter((file) => file.path.endsWith(".md"))
    .flatMap((file) => {
      const named = [...file.text.matchAll(/`((?:src|workers|test|bench|examples|docs|\.ci)\/[\w./-]*)`/g)];
      const linked = [...file.text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].filter(
        ([, url]) => !/^\w+:/.test(url ?? ""),
      );
      return [
        ...named.map(([, path = ""]) => path),
        ...linked.map(([, path = ""]) => posix.join(posix.dirname(file.path), path)),
      ]
        .filter((path) => !exists(path))
        .map((path) => `${file.path} names ${path}, which is not there; follow the rename, or take the sentence back`);
    });
};

/** What errors.ts and docs/errors.md say of a code: retryable, maybe executed. */
interface CodeFlags {
  readonly retryable: string;
  readonly maybeExecuted: string;
}

/** From the table in the head comment of errors.ts. */
export function flagsInTable(errorsSource: string): Map<string, CodeFlags> {
  const rows = errorsSource.matchAll(/^ \* ([A-Z_]+) +\| (yes|no) +\| (yes|no) +\|/gm);
  return new Map(
    [...rows].map(([, code, retryable = "", maybeExecuted = ""]) => [`ERR_RPC_${code}`, { retryable, maybeExecuted }]),
  );
}

/** From the entries of docs/errors.md: a heading, then `Retryable: yes. Maybe executed: no.` */
export function flagsInDocument(document: string): Map<string, CodeFlags> {
  return new Map(
    document
      .split(/^## (?=ERR_RPC_)/m)
      .slice(1)
      .map((entry) => {
        const [, retryable = "not said", maybeExecuted = "not said"] =
          /^Retryable: (yes|no)\. Maybe executed: (yes|no)\./m.exec(entry) ?? [];
        return [entry.split("\n")[0]?.trim() ?? "", { retryable, maybeExecuted }];
      }),
  );
}

/** Every code has an entry in the document and the other way round, and both say the same of it. */
export function errorDocuments(
  codes: ReadonlyMap<string, CodeFlags>,
  entries: ReadonlyMap<string, CodeFlags>,
): string[] {
  return [...new Set([...codes.keys(), ...entries.keys()])].sort().flatMap((code) => {
    const says = codes.get(code);
    const documented = entries.get(code);
    if (documented === undefined) return [`${code} has no entry in docs/errors.md; add \`## ${code}\``];
    if (says === undefined) return [`docs/errors.md: ${code} is no code of src/common/errors.ts; take the entry out`];
    if (says.retryable === documented.retryable && says.maybeExecuted === documented.maybeExecuted) return [];
    return [
      `docs/errors.md: ${code} says retryable ${documented.retryable}, maybe executed ${documented.maybeExecuted}; ` +
        `src/common/errors.ts says ${says.retryable}, ${says.maybeExecuted}`,
    ];
  });
}
