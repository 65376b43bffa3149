/**
 * The slow walk: finds the first value in a message that cannot travel, and its path. Runs only when encoding has
 * failed, or where a very large message might be an endless one.
 */
import { types } from "node:util";
import { isDetached } from "./attachments.js";
import { refusalOf, Shape, shapeOf } from "./value-kinds.js";

/** What is encoded. "inputs": a service call, [method, ...inputs], whose paths begin with `input 0`, as its caller knows it. */
export type ProblemRoot = "message" | "inputs" | "answer" | "args";

export interface Problem {
  /** `message.items[3].callback` */
  readonly path: string;
  readonly what: string;
  readonly instead: string;
}

/**
 * @param depthMax Containers inside containers that travel.
 * @param refsTravel References can be packed.
 * @param root What the value is: paths begin with it.
 */
export function findProblem(
  value: unknown,
  depthMax: number,
  refsTravel: boolean,
  root: ProblemRoot = "message",
): Problem | null {
  const walk = new Walk(depthMax, refsTravel);
  if (root !== "inputs" || !Array.isArray(value)) return walk.visit(value, root, 0);
  for (let index = 1; index < value.length; index++) {
    const found = walk.visit(value[index], `input ${index - 1}`, 1);
    if (found !== null) return found;
  }
  return null;
}

const PATH_LENGTH_MAX = 200;

class Walk {
  readonly #depthMax: number;
  readonly #refsTravel: boolean;
  readonly #ancestors = new Set<object>();
  /** Levels below objects that were walked to the end, so that shared parts are walked once. */
  readonly #heights = new Map<object, number>();
  /** Levels below the object just left. */
  #height = 0;

  constructor(depthMax: number, refsTravel: boolean) {
    this.#depthMax = depthMax;
    this.#refsTravel = refsTravel;
  }

  visit(value: unknown, path: string, depth: number): Problem | null {
    this.#height = 0;
    if (typeof value === "symbol") return problem(path, "a symbol", "send a string");
    if ((typeof value !== "object" && typeof value !== "function") || value === null) return null;
    const shape = shapeOf(value);
    if (shape === Shape.REFUSED) {
      const { what, instead } = refusalOf(value) ?? { what: "not encodable", instead: "send plain data" };
      return problem(path, what, instead);
    }
    if (shape === Shape.REF && !this.#refsTravel) return problem(path, "an RpcEndpointRef", "send its name");
    if (ArrayBuffer.isView(value) || types.isArrayBuffer(value)) {
      const gone = isDetached(ArrayBuffer.isView(value) ? value.buffer : value);
      return gone ? problem(path, "detached, because it was transferred before", "send a copy the first time") : null;
    }
    if (this.#ancestors.has(value))
      return problem(path, "a cycle, back to an object that holds it", "send an id instead");
    const known = this.#heights.get(value);
    if (depth + (known ?? 1) > this.#depthMax) {
      return problem(path, `nested deeper than ${this.#depthMax} levels`, "send a flatter value");
    }
    if (known !== undefined) {
      this.#height = known;
      return null;
    }
    this.#ancestors.add(value);
    let height = 0;
    for (const [child, step] of children(value, shape)) {
      const found = this.visit(child, path + step, depth + 1);
      if (found !== null) return found;
      height = Math.max(height, this.#height);
    }
    this.#ancestors.delete(value);
    this.#height = height + 1;
    this.#heights.set(value, this.#height);
    return null;
  }
}

/** What is encoded inside `value`. Not of errors: what of an error cannot travel is left out. */
function* children(value: object, shape: Shape): Generator<[child: unknown, step: string]> {
  if (shape === Shape.FIELDS) {
    for (const [key, field] of Object.entries(value))
      yield [field, /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`];
  } else if (shape === Shape.ARRAY) {
    const array = value as unknown[];
    for (let index = 0; index < array.length; index++) yield [array[index], `[${index}]`];
  } else if (shape === Shape.SET) {
    let index = 0;
    for (const item of value as Set<unknown>) yield [item, `.values()[${index++}]`];
  } else if (shape === Shape.MAP) {
    let index = 0;
    for (const [key, item] of value as Map<unknown, unknown>) {
      yield [key, `.keys()[${index}]`];
      yield [
        item,
        typeof key === "string" || typeof key === "number" ? `.get(${JSON.stringify(key)})` : `.values()[${index}]`,
      ];
      index++;
    }
  }
}

function problem(path: string, what: string, instead: string): Problem {
  if (path.length <= PATH_LENGTH_MAX) return { path, what, instead };
  const half = PATH_LENGTH_MAX / 2;
  return { path: `${path.slice(0, half)} … ${path.slice(-half)}`, what, instead };
}
