/**
 * Rules on who imports whom: layers, cycles, owners of a package, what a worker thread loads.
 * Type-only imports count everywhere except in what is loaded.
 */
import { type Exceptions, importsOf, isExcepted, type Rule, type SourceFile, targetOf } from "./project.js";

/** Lower layers first. A folder imports lower layers only; folders of one layer do not know each other. */
const LAYERS = [
  ["common"],
  ["inbox", "network", "rpc"],
  ["dispatcher", "blocks"],
  ["env"],
  ["index"],
  ["cli"],
] as const satisfies readonly (readonly string[])[];

/** What users import. */
const ENTRY_POINTS: ReadonlySet<string> = new Set(["src/index.ts", "src/network/index.ts", "src/blocks/index.ts"]);

const LAYER_ORDER = LAYERS.map((folders) => folders.join(", ")).join(" ← ");

/** `src/inbox/ring.ts` → `inbox`; files right in src (index.ts, internal.ts) form the layer `index`. */
function folderOf(path: string): string {
  const [, folder = "", ...rest] = path.split("/");
  return rest.length === 0 ? "index" : folder;
}

function rankOf(folder: string): number {
  return LAYERS.findIndex((folders) => (folders as readonly string[]).includes(folder));
}

function sources(files: readonly SourceFile[]): SourceFile[] {
  return files.filter((file) => file.path.startsWith("src/") && file.path.endsWith(".ts"));
}

export const layers: Rule = (files) =>
  sources(files).flatMap((file) => {
    const folder = folderOf(file.path);
    const rank = rankOf(folder);
    if (rank < 0) return [`${file.path}: src/${folder} is no layer; put the file into one of ${LAYER_ORDER}`];
    return importsOf(file).flatMap(({ specifier, place }) => {
      if (specifier === "ringpost" || specifier.startsWith("ringpost/")) {
        return [`${place} imports "${specifier}"; inside src import the file itself`];
      }
      const target = targetOf(file.path, specifier);
      if (target === null) return [];
      if (!target.startsWith("src/")) return [`${place} imports ${target}; src imports nothing outside src`];
      const targetFolder = folderOf(target);
      if (targetFolder === folder) return [];
      if (folder === "cli" && !ENTRY_POINTS.has(target)) {
        return [
          `${place} imports ${target}; the command uses what users have: import one of ${[...ENTRY_POINTS].join(", ")}`,
        ];
      }
      if (rankOf(targetFolder) < rank && rankOf(targetFolder) >= 0) return [];
      return [
        `${place} imports ${target}; ${folder} may import lower layers only (${LAYER_ORDER}): ` +
          "declare the interface below and let the upper layer pass its implementation in",
      ];
    });
  });

/** Reports each set of files that import each other in a circle once, as one shortest circle. */
export const cycles: Rule = (files) => {
  const graph = new Map(
    sources(files).map((file) => [
      file.path,
      importsOf(file).flatMap(({ specifier }) => targetOf(file.path, specifier) ?? []),
    ]),
  );
  const reported = new Set<string>();
  return [...graph.keys()].sort().flatMap((start) => {
    const circle = reported.has(start) ? null : shortestCircle(graph, start);
    if (circle === null) return [];
    for (const path of circle) reported.add(path);
    return [`${circle.join(" → ")}: a cycle; move what both sides need into a file below both`];
  });
};

function shortestCircle(graph: ReadonlyMap<string, readonly string[]>, start: string): string[] | null {
  const ways: string[][] = [[start]];
  const seen = new Set<string>();
  for (let way = ways.shift(); way !== undefined; way = ways.shift()) {
    for (const next of graph.get(way.at(-1) ?? "") ?? []) {
      if (next === start) return [...way, start];
      if (!seen.has(next)) ways.push([...way, next]);
      seen.add(next);
    }
  }
  return null;
}

export interface ModuleOwner {
  readonly modules: readonly string[];
  readonly owners: Exceptions;
  readonly instead: string;
}

/** Each package or built-in with an owner is imported by its owner only. */
export function moduleOwners(owned: readonly ModuleOwner[]): Rule {
  return (files) =>
    sources(files).flatMap((file) =>
      importsOf(file).flatMap(({ specifier, place }) =>
        owned
          .filter(({ modules, owners }) => modules.includes(specifier) && !isExcepted(file.path, owners))
          .map(({ owners, instead }) => {
            return `${place} imports ${specifier}, which belongs to ${Object.keys(owners).join(", ")}; ${instead}`;
          }),
      ),
    );
}

const WORKER_ENTRY_LINES_MAX = 30;

export const workerEntries: Rule = (files) =>
  files
    .filter((file) => file.path.startsWith("workers/"))
    .flatMap((file) => {
      const breaches = importsOf(file)
        .filter(({ specifier }) => {
          const target = targetOf(file.path, specifier);
          if (target === null) return !specifier.startsWith("node:");
          return target !== "src/internal.ts" && !target.startsWith("src/dispatcher/");
        })
        .map(({ specifier, place }) => {
          return `${place} imports ${specifier}; a thread entry imports ../src/dispatcher/… or ../src/internal.js only`;
        });
      const lines = file.text.trimEnd().split("\n").length;
      if (lines >= WORKER_ENTRY_LINES_MAX) {
        breaches.push(`${file.path} has ${lines} lines; a thread entry has no logic: move it into src/dispatcher`);
      }
      return breaches;
    });

/** Tests, benches and examples use the package as it is shipped. */
export const builtPackageOnly: Rule = (files) =>
  files
    .filter((file) => /^(test|bench|examples)\/.*\.ts$/.test(file.path))
    .flatMap((file) =>
      importsOf(file)
        .filter(({ specifier }) => /^(src|workers)\//.test(targetOf(file.path, specifier) ?? ""))
        .map(({ specifier, place }) => {
          return `${place} imports ${specifier}; import "ringpost", or the built file below dist/`;
        }),
    );

/** Modules of the main thread: a worker that loaded them would pay for them and could open sockets or threads. */
const NOT_IN_WORKERS = new Set(
  ["piscina", "net", "tls", "http", "https", "http2"].flatMap((name) => [name, `node:${name}`]),
);

/** What is loaded together with a built entry must not include what only the main thread uses. */
export function workerLoads(entry: string): Rule {
  return (built) => {
    const files = new Map(built.map((file) => [file.path, file]));
    if (!files.has(entry))
      return [`${entry} is not there: run \`npm run build\`, or name the new entry in the tidy test`];
    const ways = new Map([[entry, [entry]]]);
    const breaches: string[] = [];
    for (const [path, way] of ways) {
      const file = files.get(path);
      for (const { specifier } of (file === undefined ? [] : importsOf(file)).filter(({ atLoad }) => atLoad)) {
        const target = targetOf(path, specifier);
        if (target !== null && !ways.has(target)) ways.set(target, [...way, target]);
        if (NOT_IN_WORKERS.has(specifier)) {
          breaches.push(
            `${[...way, specifier].join(" → ")}: loaded in workers; import it where env needs it, by import()`,
          );
        }
      }
    }
    return breaches;
  };
}
