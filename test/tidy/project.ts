/**
 * The project as text: what the rules of test/tidy look at. Nothing here knows a rule.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import ts from "typescript";

/** A file by its path from the repository root, with forward slashes. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** A rule returns one line per breach: where, what, and what to do instead. Empty means the rule holds. */
export type Rule = (files: readonly SourceFile[]) => string[];

/** Breaches that were looked at and allowed: path (or folder, ending in a slash) → the reason. */
export type Exceptions = Readonly<Record<string, string>>;

const NOT_OURS = new Set(["node_modules", "dist", "build", "coverage", ".git"]);
const NOT_TEXT = /\.(tgz|cpuprofile|bin|png|jpe?g|gz)$/;

/** Every text file below `root`/`folder`, build outputs and dependencies left out. */
export function readProject(root: string, folder = ""): SourceFile[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name);
    // Also where it is a file: .git of a work tree.
    if (NOT_OURS.has(entry.name)) return [];
    if (entry.isDirectory()) return readProject(root, path);
    return entry.isFile() && !NOT_TEXT.test(entry.name) ? [{ path, text: readFileSync(join(root, path), "utf8") }] : [];
  });
}

/** The compiled modules below `root`/dist, which readProject leaves out. */
export function readBuilt(root: string): SourceFile[] {
  return readProject(root, "dist").filter((file) => /\.c?js$/.test(file.path));
}

const parsed = new WeakMap<SourceFile, ts.SourceFile>();

export function parse(file: SourceFile): ts.SourceFile {
  let tree = parsed.get(file);
  if (tree === undefined) {
    tree = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.Latest, true);
    parsed.set(file, tree);
  }
  return tree;
}

export function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node);
  ts.forEachChild(node, (child) => walk(child, visit));
}

/** `path:line`, as editors and terminals link it. */
export function placeOf(file: SourceFile, node: ts.Node): string {
  const tree = parse(file);
  return `${file.path}:${tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1}`;
}

export interface Import {
  readonly specifier: string;
  readonly place: string;
  /** The module is loaded when the importing one is: not a type, not `import()`. */
  readonly atLoad: boolean;
}

/** All imports of a file, type-only ones, re-exports, `import()` and `import("…")` types included. */
export function importsOf(file: SourceFile): Import[] {
  const found: Import[] = [];
  const add = (node: ts.Node, specifier: ts.Node | undefined, atLoad: boolean): void => {
    if (specifier !== undefined && ts.isStringLiteralLike(specifier)) {
      found.push({ specifier: specifier.text, place: placeOf(file, node), atLoad });
    }
  };
  walk(parse(file), (node) => {
    if (ts.isImportDeclaration(node)) add(node, node.moduleSpecifier, !isTypeOnly(node.importClause));
    else if (ts.isExportDeclaration(node)) add(node, node.moduleSpecifier, !node.isTypeOnly);
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node, node.argument.literal, false);
    else if (ts.isExternalModuleReference(node)) add(node, node.expression, true);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node, node.arguments[0], false);
    } else if (ts.isCallExpression(node) && node.expression.getText() === "require") add(node, node.arguments[0], true);
  });
  return found;
}

function isTypeOnly(clause: ts.ImportClause | undefined): boolean {
  return clause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
}

/** The path a relative import means, as written in source (`./x.js` → `x.ts`) or as built; null for packages. */
export function targetOf(importer: string, specifier: string): string | null {
  if (!specifier.startsWith(".")) return null;
  const path = posix.join(posix.dirname(importer), specifier);
  return importer.endsWith(".ts") ? path.replace(/\.js$/, ".ts") : path;
}

/** True where an exception names the file or a folder it lies in. */
export function isExcepted(path: string, exceptions: Exceptions): boolean {
  return Object.keys(exceptions).some((name) => (name.endsWith("/") ? path.startsWith(name) : path === name));
}
