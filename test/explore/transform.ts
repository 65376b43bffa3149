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
import ts from "typescript";
import {
  type Colours,
  calleeKey,
  colour,
  File,
  fail,
  functionKey,
  methodNames,
  SEAM_FILE,
  TransformError,
} from "./colour.js";
import { DOUBLE_NAMES, doubleSource, SEAM_NAMES } from "./double.js";

export const DOUBLE_FILE = "double.js";

/** Methods that read or write the memory of a view. */
const MEMORY_METHODS = methodNames([
  Object.getPrototypeOf(Int32Array.prototype) as object,
  DataView.prototype,
  Buffer.prototype,
]);
for (const name of ["constructor", "subarray", "keys", "entries", "valueOf"]) MEMORY_METHODS.delete(name);
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
