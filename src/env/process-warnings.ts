/**
 * The logger of an environment that was given none, for events that nobody listens to: a warning of the process, which
 * Node prints. Dead letters are told once for each endpoint and code, because they can come by the thousand.
 */
import type { RpcError } from "../common/errors.js";

/** Kinds of dead letters that are remembered as told; past this bound they are told again. */
const TOLD_MAX = 1_000;
const DETAIL = "Pass a logger to RpcEnv.create, or listen with env.on: then all of it is told there, and nothing here.";

export class ProcessWarnings {
  readonly #env: string;
  readonly #told = new Set<string>();
  #explained = false;

  constructor(env: string) {
    this.#env = env;
  }

  warn(event: string, text: string, code?: string): void {
    const options = { type: "RingpostWarning", ...this.#firstTime(), ...(code === undefined ? {} : { code }) };
    process.emitWarning(`env "${this.#env}", ${event}: ${text}`, options);
  }

  #firstTime(): { detail?: string } {
    if (this.#explained) return {};
    this.#explained = true;
    return { detail: DETAIL };
  }

  deadLetter(endpoint: string, error: RpcError): void {
    const kind = `${error.code} ${endpoint}`;
    if (this.#told.has(kind)) return;
    if (this.#told.size >= TOLD_MAX) this.#told.clear();
    this.#told.add(kind);
    this.warn("deadLetter", error.message, error.code);
  }
}
