/**
 * Goal: what the explorer runs is what ships. Method: what the transform makes of a few lines, and what it refuses.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runNow, type Thread } from "./explorer.js";
import { FIXTURES, fixture, MAIL } from "./fixtures/mail-cases.js";
import { transform } from "./transform.js";
import { applyMutant, loadVariant, type Mutant } from "./variants.js";

describe("mutants", () => {
  const mutant: Mutant = { name: "m", rule: "R1", file: MAIL, find: "nowhere", replace: "" };
  test("must be found exactly once", () => {
    expect(() => fixture(mutant)).toThrow('mutant m: its text occurs 0 times in mail.js, must be once: "nowhere"');
    expect(() => fixture({ ...mutant, find: "load" })).toThrow(/occurs \d+ times/);
    expect(() => fixture({ ...mutant, file: "male.js" })).toThrow("no file male.js");
  });
  test("are put in as they stand", () => {
    expect(applyMutant({ ...mutant, find: "b", replace: "$&$1" }, "abc")).toBe("a$&$1c");
  });
});

describe("the transform", () => {
  const seam = readFileSync(join(FIXTURES, "atomics.js"), "utf8");
  const head = 'import { load, store } from "./atomics.js";\n';
  function transformed(text: string, more: Record<string, string> = {}): string {
    const sources = new Map([["atomics.js", seam], ["x.js", text], ...Object.entries(more)]);
    return transform(sources, (specifier) => `up/${specifier}`).get("x.js") ?? "";
  }
  const body = (text: string): string =>
    transformed(head + text)
      .split("\n")
      .slice(1)
      .join("\n");

  test("colours callers through files, methods and private names", () => {
    const text =
      'import { inner } from "./y.js";\nexport function outer(w) { return inner(w) + other(w); }\nfunction other(w) { return w; }';
    const more = { "y.js": `${head}export function inner(w) { return load(w, 0); }` };
    expect(transformed(text, more)).toContain("function *outer(w) { return (yield* inner(w)) + other(w); }");
    expect(body("class A { static #peep(w) { return load(w, 0); } go(w) { return A.#peep(w); } }")).toBe(
      "class A { static *#peep(w) { return (yield load(w, 0)); } *go(w) { return (yield* A.#peep(w)); } }",
    );
    expect(body("const f = function (w) { store(w, 0, 1); };")).toBe(
      "const f = function* (w) { (yield store(w, 0, 1)); };",
    );
  });

  test("marks plain accesses and leaves names that only look like them", () => {
    expect(body("function f(w, i) { w[i] = w[i + 1]; w[i] += 2; w[i]++; return w[w[0]]; }")).toBe(
      "function f(w, i) { $write(w, i, $read(w, i + 1)); $write(w, i, $read(w, i) + (2)); $write(w, i, $read(w, i) + 1); return $read(w, $read(w, 0)); }",
    );
    expect(body("function f(a, b) { a.set(b, 8); [a.x] = b; return table[0](a[1]); }")).toBe(
      'function f(a, b) { $method(a, "set", b, 8); [a.x] = b; return table[0]($read(a, 1)); }',
    );
  });

  test("keeps lines where they were, comments and all", () => {
    const text = `/**\n * Head.\n */\n${head}\nexport function f(w) {\n  // Why.\n  return load(w, 0);\n}\n`;
    expect(transformed(text).split("\n").length).toBe(text.split("\n").length);
    expect(transformed(text)).toContain("  // Why.\n  return (yield load(w, 0));\n");
    expect(transformed('export * from "../common/x.js";\n')).toContain('export * from "up/../common/x.js";');
  });

  const refused: Record<string, [text: string, message: string]> = {
    "an arrow function": ["function f(w) { w.map((i) => load(w, i)); }", "x.js:2:30: an arrow function calls load"],
    "a constructor": ["class A { constructor(w) { load(w, 0); } }", "a constructor calls load"],
    "a getter": ["class A { get x() { return load(this.w, 0); } }", "an accessor calls load"],
    "an initialiser": ["class A { x = load(w, 0); }", "an initialiser calls load"],
    "the top level": ["load(w, 0);", "code at the top level calls load"],
    "a default": ["function f(w, x = load(w, 0)) {}", "the default of a parameter calls load"],
    "a generator": ["function* f(w) { yield load(w, 0); }", "f is a generator and calls load"],
    "a nameless function": ["export default [function (w) { load(w, 0); }];", "a function without a name of its own"],
    "a built-in's name": ["class A { push(w) { load(w, 0); } }", "x.js:2:11: method push calls load"],
    "the seam as a value": ["const f = load;", "load reaches the seam and is used as a value"],
    "a coloured function as a value": ["function f(w) { load(w, 0); }\nx.map(f);", "x.js:3:7: f reaches the seam"],
    "a coloured method as a value": [
      "class A { go(w) { load(w, 0); } all(x) { x.map(this.go); } }",
      "go reaches the seam",
    ],
    "a variable of that name": [
      "function f(w) { load(w, 0); }\nfunction g(f) { f(); }",
      "f is also the name of a function",
    ],
    "an optional call": ["class A { go(w) { load(w, 0); } all(x) { x?.go(); } }", "optional call of go"],
    "async without await": ["async function f(w) { load(w, 0); }\nasync function g(w) { f(w); }", "f is async"],
    "destructuring into elements": ["function f(w) { [w[0], w[1]] = [1, 2]; }", "destructuring into an element"],
    "an old value of ++": ["function f(w) { return w[0]++; }", "the old value of an element's ++ or --"],
    "an effect in a target": ["function f(w, i) { w[i++] += 1; }", "an effect inside the target of an update"],
  };
  for (const [what, [text, message]] of Object.entries(refused)) {
    test(`refuses ${what}, with file and line`, () => {
      expect(() => transformed(head + text)).toThrow(message);
    });
  }

  test("refuses other names for the seam, and a seam it does not know", () => {
    expect(() => transformed('import { load as peep } from "./atomics.js";')).toThrow("under their own names");
    expect(() => transformed('import * as atomics from "./atomics.js";')).toThrow("import the seam by name");
    const wide = new Map([["atomics.js", "export function wait() {}"]]);
    expect(() => transform(wide, String)).toThrow("the seam exports wait, for which the explorer has no double");
  });
});

describe("the shipped inbox", () => {
  test("is accepted by the transform, which stops in it before each access", () => {
    const inbox = loadVariant<{ RingProducer: new (words: Int32Array, base: number, capacityBytes: number) => Ring }>(
      "shipped",
    );
    interface Ring {
      publish(): Thread<boolean>;
      commit(): unknown;
    }
    const ring = new inbox.RingProducer(new Int32Array(new SharedArrayBuffer(4096)), 0, 64);
    expect(runNow(ring.publish())).toBe(false);
    // What touches no word that others read stays a plain method.
    expect(ring.commit()).toBeUndefined();
  });
});
