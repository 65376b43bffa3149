/**
 * Which functions reach the atomics seam, and what about them the transform cannot follow. Step one of the transform:
 * nothing is changed here.
 */
import ts from "typescript";
import { SEAM_NAMES } from "./double.js";

export class TransformError extends Error {
  override readonly name = "TransformError";
}

export const SEAM_FILE = "atomics.js";

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
export function methodNames(prototypes: readonly object[]): Set<string> {
  const names = new Set<string>();
  for (const prototype of prototypes) {
    for (const name of Object.getOwnPropertyNames(prototype)) {
      if (typeof Object.getOwnPropertyDescriptor(prototype, name)?.value === "function") names.add(name);
    }
  }
  return names;
}
export function fail(node: ts.Node, text: string): never {
  const source = node.getSourceFile();
  const { line, character } = source.getLineAndCharacterOfPosition(node.getStart());
  throw new TransformError(`${source.fileName}:${line + 1}:${character + 1}: ${text}`);
}
/** Coloured names: `f name` for functions, `m name` for methods (`m #name` for private ones). */
export type Colours = ReadonlySet<string>;
type FunctionNode = ts.FunctionLikeDeclaration | ts.ClassStaticBlockDeclaration;

/** A call by simple name, with the function it stands in; null at the top level or in an initialiser. */
interface Call {
  readonly node: ts.CallExpression;
  readonly key: string;
  readonly within: ts.Node | null;
}

export class File {
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

export function calleeKey(call: ts.CallExpression): string | null {
  const callee = call.expression;
  if (ts.isIdentifier(callee)) return `f ${callee.text}`;
  if (ts.isPropertyAccessExpression(callee)) return `m ${callee.name.text}`;
  return null;
}

/** The name under which a function is called, or null if it has none that the transform can follow. */
export function functionKey(node: ts.Node): string | null {
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

export function colour(files: readonly File[]): Colours {
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
