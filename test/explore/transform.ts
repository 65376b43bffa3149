/**
 * Turns the compiled files of src/inbox into code that the explorer can schedule, and writes it to
 * build/explore/<variant>/inbox.
 *
 * A function that calls a function of the atomics seam, directly or through others, becomes a generator, and each call
 * of it a `yield*`; a call of the seam itself becomes a `yield`. Colouring goes by simple name, to a fixpoint over all
 * files, functions and methods apart. Where a generator is impossible (arrow functions, constructors, accessors,
 * initialisers) or a name is ambiguous, the transform stops with a file and a line: better than to explore other code
 * than ships.
 *
 * Plain reads and writes of elements, and calls of methods that copy memory, are noted (double.js), for two reasons:
 * what a thread has read belongs to its state, and where it touched memory a further switch must be tried.
 *
 * The text is spliced, not printed anew: lines and columns of the result are nearly those of the shipped file.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { DOUBLE_NAMES, doubleSource, SEAM_NAMES } from "./double.js";

/** A deliberate bug: the search must find it, or the rule it breaks is not covered. */
export interface Mutant {
  /** Unique, kebab-case: the folder of its variant. */
  readonly name: string;
  /** The rule of ADR 0001 it breaks: R1…Rn. */
  readonly rule: string;
  /** File in dist/src/inbox, such as "ring.js". */
  readonly file: string;
  /** Text of the compiled file; must occur exactly once. */
  readonly find: string;
  readonly replace: string;
}

export interface VariantOptions {
  /** Folder of the compiled inbox. Default dist/src/inbox of this repository. */
  readonly sourceDir?: string;
  /** Default build/explore/<variant>. */
  readonly outDir?: string;
}

export class TransformError extends Error {
  override readonly name = "TransformError";
}

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const SEAM_FILE = "atomics.js";
const DOUBLE_FILE = "double.js";

/** Method names whose call cannot be told from one of the language's own. */
const BUILTIN_METHODS = methodNames([
  Array.prototype,
  Map.prototype,
  Set.prototype,
  WeakMap.prototype,
  Object.getPrototypeOf(Int32Array.prototype) as object,
  DataView.prototype,
  Promise.prototype,
  String.prototype,
  Function.prototype,
  Object.prototype,
]);

/** Methods that read or write the memory of a view. */
const MEMORY_METHODS = methodNames([
  Object.getPrototypeOf(Int32Array.prototype) as object,
  DataView.prototype,
  Buffer.prototype,
]);
for (const name of ["constructor", "subarray", "keys", "entries", "valueOf"]) MEMORY_METHODS.delete(name);

function methodNames(prototypes: readonly object[]): Set<string> {
  const names = new Set<string>();
  for (const prototype of prototypes) {
    for (const name of Object.getOwnPropertyNames(prototype)) {
      if (typeof Object.getOwnPropertyDescriptor(prototype, name)?.value === "function") names.add(name);
    }
  }
  return names;
}

/** Writes a variant and returns the folder that holds its inbox/*.js. */
export function buildVariant(variant: string, mutants: readonly Mutant[] = [], options: VariantOptions = {}): string {
  const sourceDir = options.sourceDir ?? join(ROOT, "dist/src/inbox");
  const outDir = join(options.outDir ?? join(ROOT, "build/explore", variant), "inbox");
  const sources = new Map<string, string>();
  for (const file of readdirSync(sourceDir)) {
    if (file.endsWith(".js")) sources.set(file, readFileSync(join(sourceDir, file), "utf8"));
  }
  for (const mutant of mutants) {
    const text = sources.get(mutant.file);
    if (text === undefined) throw new TransformError(`mutant ${mutant.name}: no file ${mutant.file} in ${sourceDir}`);
    sources.set(mutant.file, applyMutant(mutant, text));
  }
  mkdirSync(outDir, { recursive: true });
  const outputs = transform(sources, (specifier) => {
    const path = relative(outDir, resolve(sourceDir, specifier));
    return path.replaceAll("\\", "/");
  });
  for (const file of readdirSync(outDir)) if (file.endsWith(".js") && !outputs.has(file)) rmSync(join(outDir, file));
  for (const [file, text] of outputs) writeWhole(join(outDir, file), text);
  return outDir;
}

export function applyMutant(mutant: Mutant, text: string): string {
  const count = text.split(mutant.find).length - 1;
  if (count !== 1) {
    throw new TransformError(
      `mutant ${mutant.name}: its text occurs ${count} times in ${mutant.file}, must be once: ${JSON.stringify(mutant.find)}`,
    );
  }
  return text.replace(mutant.find, () => mutant.replace);
}

/** Test files build the same variant at the same time: whoever reads sees a whole file, whoever writes writes the same. */
function writeWhole(path: string, text: string): void {
  const partial = `${path}.${process.pid}`;
  writeFileSync(partial, text);
  renameSync(partial, path);
}

const loaded = new Map<string, { hash: string; modules: Record<string, unknown> }>();

/**
 * Builds a variant and loads its modules natively: the test runner would rewrite them, and slow them down.
 * Give the type from what the shipped modules export, with `Explored`.
 */
export function loadVariant<T>(variant: string, mutants: readonly Mutant[] = [], options: VariantOptions = {}): T {
  const outDir = buildVariant(variant, mutants, options);
  const files = readdirSync(outDir).filter((file) => file.endsWith(".js"));
  const hash = createHash("sha256");
  for (const file of files) hash.update(readFileSync(join(outDir, file)));
  const digest = hash.digest("hex");
  const known = loaded.get(outDir);
  if (known !== undefined) {
    if (known.hash !== digest)
      throw new TransformError(`variant ${variant} was loaded with other content: name it apart`);
    return known.modules as T;
  }
  const require = createRequire(join(outDir, "load.js"));
  const modules: Record<string, unknown> = {};
  for (const file of files) {
    if (file !== DOUBLE_FILE) Object.assign(modules, require(join(outDir, file)));
  }
  loaded.set(outDir, { hash: digest, modules });
  return modules as T;
}

/** The transform proper, from file texts to file texts. `resolveImport` maps "../common/x.js". */
export function transform(
  sources: ReadonlyMap<string, string>,
  resolveImport: (specifier: string) => string,
): Map<string, string> {
  const files = [...sources]
    .filter(([name]) => name !== SEAM_FILE)
    .map(
      ([name, text]) => new File(name, ts.createSourceFile(name, text, ts.ScriptTarget.ES2023, true, ts.ScriptKind.JS)),
    );
  const seam = sources.get(SEAM_FILE);
  if (seam === undefined) throw new TransformError(`no ${SEAM_FILE} among the files`);
  checkSeam(seam);
  const colours = colour(files);
  const asyncKeys = new Set(files.flatMap((file) => [...file.asyncKeys]));
  const dataNames = new Set(files.flatMap((file) => [...file.dataNames]));
  for (const file of files) file.check(colours, asyncKeys, dataNames);
  const outputs = new Map<string, string>([
    [DOUBLE_FILE, doubleSource()],
    [SEAM_FILE, `export { ${SEAM_NAMES.join(", ")} } from "./${DOUBLE_FILE}";\n`],
  ]);
  for (const file of files) outputs.set(file.name, new Splicer(file, colours, resolveImport).print());
  return outputs;
}

function checkSeam(text: string): void {
  const source = ts.createSourceFile(SEAM_FILE, text, ts.ScriptTarget.ES2023, true, ts.ScriptKind.JS);
  for (const statement of source.statements) {
    if (!ts.canHaveModifiers(statement)) continue;
    if (ts.getModifiers(statement)?.some((modifier) => modifier.kind === ts.SyntaxKind.ExportKeyword) !== true)
      continue;
    const name = ts.isFunctionDeclaration(statement) ? statement.name?.text : undefined;
    if (name === undefined || !SEAM_NAMES.includes(name)) {
      fail(
        statement,
        `the seam exports ${name ?? "something else than a function"}, for which the explorer has no double`,
      );
    }
  }
}

function fail(node: ts.Node, text: string): never {
  const source = node.getSourceFile();
  const { line, character } = source.getLineAndCharacterOfPosition(node.getStart());
  throw new TransformError(`${source.fileName}:${line + 1}:${character + 1}: ${text}`);
}

/** Coloured names: `f name` for functions, `m name` for methods (`m #name` for private ones). */
type Colours = ReadonlySet<string>;
type FunctionNode = ts.FunctionLikeDeclaration | ts.ClassStaticBlockDeclaration;

/** A call by simple name, with the function it stands in; null at the top level or in an initialiser. */
interface Call {
  readonly node: ts.CallExpression;
  readonly key: string;
  readonly within: ts.Node | null;
}

class File {
  readonly name: string;
  readonly source: ts.SourceFile;
  readonly calls: Call[] = [];
  readonly seamNames = new Set<string>();
  #references: ts.Identifier[] = [];
  #members: ts.PropertyAccessExpression[] = [];
  #optionalCalls: ts.CallExpression[] = [];
  /** Keys of async functions declared here. */
  readonly asyncKeys = new Set<string>();
  /** Names of properties that hold data. */
  readonly dataNames = new Set<string>();

  constructor(name: string, source: ts.SourceFile) {
    this.name = name;
    this.source = source;
    this.#imports();
    this.#collect(source, null);
  }

  #imports(): void {
    for (const statement of this.source.statements) {
      if (!ts.isImportDeclaration(statement) || specifierOf(statement) !== `./${SEAM_FILE}`) continue;
      const bindings = statement.importClause?.namedBindings;
      if (bindings === undefined || !ts.isNamedImports(bindings)) fail(statement, "import the seam by name");
      for (const element of bindings.elements) {
        if (element.propertyName !== undefined) fail(element, "import the seam's functions under their own names");
        if (!SEAM_NAMES.includes(element.name.text)) fail(element, `the seam has no ${element.name.text}`);
        this.seamNames.add(element.name.text);
      }
    }
  }

  #collect(node: ts.Node, within: ts.Node | null): void {
    let inner = within;
    if (ts.isFunctionLike(node) || ts.isClassStaticBlockDeclaration(node) || ts.isPropertyDeclaration(node))
      inner = node;
    if (ts.isCallExpression(node)) {
      const key = calleeKey(node);
      if (key !== null) this.calls.push({ node, key, within });
      if (ts.isCallChain(node)) this.#optionalCalls.push(node);
    }
    if (ts.isFunctionLike(node) && ts.canHaveModifiers(node)) {
      const key = functionKey(node);
      const isAsync = ts.getModifiers(node)?.some((modifier) => modifier.kind === ts.SyntaxKind.AsyncKeyword) === true;
      if (key !== null && isAsync) this.asyncKeys.add(key);
    }
    if (ts.isIdentifier(node)) this.#references.push(node);
    const initializer = (node as { initializer?: ts.Node }).initializer;
    if (ts.isShorthandPropertyAssignment(node)) this.dataNames.add(node.name.text);
    else if (ts.isPropertyDeclaration(node) || ts.isPropertyAssignment(node)) {
      if (initializer === undefined || !ts.isFunctionLike(initializer)) this.dataNames.add(node.name.getText());
    } else if (ts.isGetAccessor(node)) this.dataNames.add(node.name.getText());
    if (ts.isPropertyAccessExpression(node)) this.#members.push(node);
    ts.forEachChild(node, (child) => this.#collect(child, inner));
  }

  isSeamCall(call: ts.CallExpression): boolean {
    return ts.isIdentifier(call.expression) && this.seamNames.has(call.expression.text);
  }

  /** Everything by which the coloured code would not be the shipped code. */
  check(colours: Colours, asyncKeys: ReadonlySet<string>, dataNames: ReadonlySet<string>): void {
    for (const { node, key } of this.calls) {
      if (!colours.has(key) || !asyncKeys.has(key) || ts.isAwaitExpression(node.parent)) continue;
      fail(node, `${nameOf(key)} is async and reaches the seam: await it here, or the explorer would run it whole`);
    }
    for (const call of this.#optionalCalls) {
      const key = calleeKey(call);
      if (key !== null && colours.has(key))
        fail(call, `optional call of ${nameOf(key)}, which reaches the seam: write an if`);
    }
    for (const reference of this.#references) this.#checkReference(reference, colours);
    for (const member of this.#members) {
      if (!colours.has(`m ${member.name.text}`) || isCallee(member)) continue;
      // A property of the same name that holds data is read here; to read it is no call.
      if (dataNames.has(member.name.text)) continue;
      fail(member, `${member.name.text} reaches the seam and is used as a value: call it, or rename one of the two`);
    }
  }

  #checkReference(node: ts.Identifier, colours: Colours): void {
    const name = node.text;
    const seam = this.seamNames.has(name);
    if (!seam && !colours.has(`f ${name}`)) return;
    const parent = node.parent;
    if (ts.isImportSpecifier(parent) || ts.isExportSpecifier(parent)) {
      if (parent.propertyName !== undefined) fail(node, `${name} reaches the seam: import it under its own name`);
      if (seam && ts.isExportSpecifier(parent)) fail(node, `${name} belongs to the seam: do not export it again`);
      return;
    }
    if (isPropertyName(node) || isCallee(node)) return;
    const declares = (parent as { name?: ts.Node }).name === node;
    if (declares && !seam && functionKey(parent) === `f ${name}`) return;
    if (declares && ts.isVariableDeclaration(parent) && parent.initializer !== undefined && !seam) {
      if (functionKey(parent.initializer) === `f ${name}`) return;
    }
    if (declares) fail(node, `${name} is also the name of a function that reaches the seam: rename one of the two`);
    fail(node, `${name} reaches the seam and is used as a value: call it`);
  }
}

function specifierOf(statement: ts.ImportDeclaration | ts.ExportDeclaration): string | undefined {
  const specifier = statement.moduleSpecifier;
  return specifier !== undefined && ts.isStringLiteral(specifier) ? specifier.text : undefined;
}

function nameOf(key: string): string {
  return key.slice(2);
}

function isCallee(node: ts.Node): boolean {
  return ts.isCallExpression(node.parent) && node.parent.expression === node;
}

function isPropertyName(node: ts.Identifier): boolean {
  const parent = node.parent;
  if (ts.isPropertyAccessExpression(parent)) return parent.name === node;
  if (ts.isBindingElement(parent)) return parent.propertyName === node;
  return (
    (ts.isMethodDeclaration(parent) ||
      ts.isPropertyDeclaration(parent) ||
      ts.isPropertyAssignment(parent) ||
      ts.isAccessor(parent)) &&
    parent.name === node
  );
}

function calleeKey(call: ts.CallExpression): string | null {
  const callee = call.expression;
  if (ts.isIdentifier(callee)) return `f ${callee.text}`;
  if (ts.isPropertyAccessExpression(callee)) return `m ${callee.name.text}`;
  return null;
}

/** The name under which a function is called, or null if it has none that the transform can follow. */
function functionKey(node: ts.Node): string | null {
  if (ts.isFunctionDeclaration(node)) return node.name === undefined ? null : `f ${node.name.text}`;
  if (ts.isMethodDeclaration(node)) {
    const name = node.name;
    return ts.isIdentifier(name) || ts.isPrivateIdentifier(name) || ts.isStringLiteral(name) ? `m ${name.text}` : null;
  }
  if (!ts.isFunctionExpression(node)) return null;
  const parent = node.parent;
  if (ts.isVariableDeclaration(parent) && ts.isIdentifier(parent.name)) return `f ${parent.name.text}`;
  if (ts.isPropertyAssignment(parent) && ts.isIdentifier(parent.name)) return `m ${parent.name.text}`;
  return null;
}

function colour(files: readonly File[]): Colours {
  const colours = new Set<string>();
  for (let grown = true; grown; ) {
    grown = false;
    for (const file of files) {
      for (const call of file.calls) {
        if (!file.isSeamCall(call.node) && !colours.has(call.key)) continue;
        const key = colourable(call);
        if (colours.has(key)) continue;
        colours.add(key);
        grown = true;
      }
    }
  }
  return colours;
}

/** The key of the function that a coloured call stands in; stops where that cannot become a generator. */
function colourable(call: Call): string {
  const { node, within } = call;
  const reaches = `calls ${nameOf(call.key)}, which reaches the seam`;
  if (within === null) fail(node, `code at the top level ${reaches}`);
  if (ts.isArrowFunction(within)) fail(node, `an arrow function ${reaches}: make it a function or a method`);
  if (ts.isConstructorDeclaration(within))
    fail(node, `a constructor ${reaches}: use plain accesses there, or a method`);
  if (ts.isAccessor(within)) fail(node, `an accessor ${reaches}: make it a method`);
  if (ts.isPropertyDeclaration(within)) fail(node, `an initialiser ${reaches}`);
  if (ts.isClassStaticBlockDeclaration(within)) fail(node, `a static block ${reaches}`);
  const key = functionKey(within);
  if (key === null) fail(node, `a function without a name of its own ${reaches}: name it`);
  const declaration = within as FunctionNode & {
    asteriskToken?: ts.Node;
    parameters?: readonly ts.ParameterDeclaration[];
  };
  if (declaration.asteriskToken !== undefined) fail(within, `${nameOf(key)} is a generator and ${reaches}`);
  for (const parameter of declaration.parameters ?? []) {
    if (node.pos >= parameter.pos && node.end <= parameter.end) fail(node, `the default of a parameter ${reaches}`);
  }
  if (key.startsWith("m ") && BUILTIN_METHODS.has(nameOf(key))) {
    fail(within, `method ${nameOf(key)} ${reaches}, and built-in objects have a method of that name: rename it`);
  }
  return key;
}

/** Prints one file with its calls, functions and memory accesses replaced. */
class Splicer {
  readonly #file: File;
  readonly #text: string;
  readonly #colours: Colours;
  readonly #resolveImport: (specifier: string) => string;

  constructor(file: File, colours: Colours, resolveImport: (specifier: string) => string) {
    this.#file = file;
    this.#text = file.source.text;
    this.#colours = colours;
    this.#resolveImport = resolveImport;
  }

  print(): string {
    const head = this.#text.slice(0, this.#file.source.getStart());
    // On the first line, so that the lines below keep their numbers.
    return `import { ${DOUBLE_NAMES.join(", ")} } from "./${DOUBLE_FILE}"; ${head}${this.#print(this.#file.source)}`;
  }

  /** Text of a node from its first token to its end, replaced where need be. */
  #print(node: ts.Node): string {
    if (ts.isStringLiteral(node) && isModuleSpecifier(node) && node.text.startsWith("../")) {
      return JSON.stringify(this.#resolveImport(node.text));
    }
    if (ts.isCallExpression(node)) return this.#call(node);
    if (ts.isElementAccessExpression(node)) return this.#elementRead(node);
    if (ts.isBinaryExpression(node) && isAssignment(node.operatorToken.kind)) return this.#assignment(node);
    if (ts.isPrefixUnaryExpression(node) || ts.isPostfixUnaryExpression(node)) return this.#update(node);
    if (ts.isAwaitExpression(node) && this.#isColoured(enclosingFunction(node))) {
      return `(yield* $await(${this.#print(node.expression)}))`;
    }
    return this.#splice(node);
  }

  #splice(node: ts.Node): string {
    const coloured = this.#isColoured(node);
    let at = node.getStart();
    let out = "";
    const children: ts.Node[] = [];
    ts.forEachChild(node, (child) => {
      children.push(child);
    });
    children.sort((a, b) => a.pos - b.pos);
    const name = (node as { name?: ts.Node }).name;
    for (const child of children) {
      const start = child.getStart();
      let gap = this.#text.slice(at, start);
      if (coloured && child.kind === ts.SyntaxKind.AsyncKeyword) {
        out += gap;
        at = child.end;
        continue;
      }
      if (coloured && ts.isFunctionExpression(node) && name === undefined && gap.includes("function"))
        gap = gap.replace("function", "function*");
      out += gap;
      if (coloured && child === name) out += "*";
      out += this.#print(child);
      at = child.end;
    }
    if (coloured && ts.isFunctionExpression(node) && name === undefined && !out.includes("function*")) {
      fail(node, "cannot make this function expression a generator: give it a name");
    }
    return out + this.#text.slice(at, node.end);
  }

  #isColoured(node: ts.Node | undefined): boolean {
    const key = node === undefined ? null : functionKey(node);
    return key !== null && this.#colours.has(key);
  }

  #call(node: ts.CallExpression): string {
    if (this.#file.isSeamCall(node)) return `(yield ${this.#splice(node)})`;
    const key = calleeKey(node);
    if (key !== null && this.#colours.has(key)) return `(yield* ${this.#splice(node)})`;
    const callee = node.expression;
    if (ts.isElementAccessExpression(callee)) return this.#calledElement(node, callee);
    if (!ts.isPropertyAccessExpression(callee) || !MEMORY_METHODS.has(callee.name.text)) return this.#splice(node);
    if (callee.expression.kind === ts.SyntaxKind.SuperKeyword) return this.#splice(node);
    if (ts.isCallChain(node)) fail(node, `optional call of ${callee.name.text}, which may touch memory: write an if`);
    const values = [
      this.#print(callee.expression),
      JSON.stringify(callee.name.text),
      ...node.arguments.map((a) => this.#print(a)),
    ];
    return `$method(${values.join(", ")})`;
  }

  /** `table[i](x)` keeps its `this`; the table is an ordinary array or record. */
  #calledElement(node: ts.CallExpression, callee: ts.ElementAccessExpression): string {
    const head = `${this.#print(callee.expression)}[${this.#print(callee.argumentExpression)}]`;
    return head + this.#between(callee.end, node);
  }

  #between(from: number, node: ts.CallExpression): string {
    let at = from;
    let out = "";
    for (const argument of node.arguments) {
      out += this.#text.slice(at, argument.getStart()) + this.#print(argument);
      at = argument.end;
    }
    return out + this.#text.slice(at, node.end);
  }

  #elementRead(node: ts.ElementAccessExpression): string {
    if (node.questionDotToken !== undefined || ts.isDeleteExpression(node.parent)) return this.#splice(node);
    if (isAssignmentTarget(node))
      fail(node, "destructuring into an element: the explorer does not follow it, write an assignment");
    return `$read(${this.#print(node.expression)}, ${this.#print(node.argumentExpression)})`;
  }

  #assignment(node: ts.BinaryExpression): string {
    const target = node.left;
    if (!ts.isElementAccessExpression(target)) return this.#splice(node);
    const [object, index, value] = [
      this.#print(target.expression),
      this.#print(target.argumentExpression),
      this.#print(node.right),
    ];
    const operator = node.operatorToken.getText();
    if (operator === "=") return `$write(${object}, ${index}, ${value})`;
    if (["&&=", "||=", "??="].includes(operator))
      fail(node, `${operator} on an element: the explorer does not follow it, write an if`);
    this.#twice(target);
    return `$write(${object}, ${index}, $read(${object}, ${index}) ${operator.slice(0, -1)} (${value}))`;
  }

  #update(node: ts.PrefixUnaryExpression | ts.PostfixUnaryExpression): string {
    const target = node.operand;
    const steps =
      node.operator === ts.SyntaxKind.PlusPlusToken ? "+" : node.operator === ts.SyntaxKind.MinusMinusToken ? "-" : "";
    if (steps === "" || !ts.isElementAccessExpression(target)) return this.#splice(node);
    this.#twice(target);
    const unused = ts.isExpressionStatement(node.parent) || ts.isForStatement(node.parent);
    if (ts.isPostfixUnaryExpression(node) && !unused)
      fail(node, "the old value of an element's ++ or --: write it as two statements");
    const [object, index] = [this.#print(target.expression), this.#print(target.argumentExpression)];
    return `$write(${object}, ${index}, $read(${object}, ${index}) ${steps} 1)`;
  }

  /** An update prints its target twice, so the target must have no effects. */
  #twice(target: ts.ElementAccessExpression): void {
    const visit = (node: ts.Node): void => {
      if (ts.isCallExpression(node) || ts.isNewExpression(node) || isUpdate(node)) {
        fail(node, "an effect inside the target of an update: the explorer would run it twice, use a variable");
      }
      ts.forEachChild(node, visit);
    };
    visit(target);
  }
}

function isModuleSpecifier(node: ts.Node): boolean {
  return ts.isImportDeclaration(node.parent) || ts.isExportDeclaration(node.parent);
}

function isAssignment(kind: ts.SyntaxKind): boolean {
  return kind >= ts.SyntaxKind.FirstAssignment && kind <= ts.SyntaxKind.LastAssignment;
}

function isUpdate(node: ts.Node): boolean {
  if (ts.isBinaryExpression(node)) return isAssignment(node.operatorToken.kind);
  if (!ts.isPrefixUnaryExpression(node) && !ts.isPostfixUnaryExpression(node)) return false;
  return node.operator === ts.SyntaxKind.PlusPlusToken || node.operator === ts.SyntaxKind.MinusMinusToken;
}

/** True for an element inside a destructuring pattern or at the head of a for-in or for-of. */
function isAssignmentTarget(node: ts.Node): boolean {
  let child = node;
  let parent = node.parent;
  while (
    ts.isArrayLiteralExpression(parent) ||
    ts.isPropertyAssignment(parent) ||
    ts.isObjectLiteralExpression(parent) ||
    ts.isSpreadElement(parent)
  ) {
    child = parent;
    parent = parent.parent;
  }
  if (ts.isForInStatement(parent) || ts.isForOfStatement(parent)) return parent.initializer === child;
  return (
    ts.isBinaryExpression(parent) &&
    parent.left === child &&
    parent.operatorToken.kind === ts.SyntaxKind.EqualsToken &&
    child !== node
  );
}

function enclosingFunction(node: ts.Node): ts.Node | undefined {
  let outer = node.parent;
  while (outer !== undefined && !ts.isFunctionLike(outer)) outer = outer.parent;
  return outer;
}
