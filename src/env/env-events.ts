/**
 * What an environment tells of itself: to its logger, to its listeners, and where there is neither, to the process. Not in
 * the data flow. Main thread only.
 */
import { EventEmitter } from "node:events";
import { RpcError } from "../common/errors.js";
import type { DispatcherEvents, LoopCrash } from "../dispatcher/dispatcher-parts.js";
import { describeThrown } from "../dispatcher/failure.js";
import { RpcAddress } from "../rpc/rpc-address.js";
import type { RpcEnvEvents, RpcLogger } from "../rpc/rpc-env.js";
import { ProcessWarnings } from "./process-warnings.js";
import type { NetworkEvents } from "./rpc-network.js";

const EVENTS: readonly (keyof RpcEnvEvents)[] = [
  "deadLetter",
  "loopCrashed",
  "endpointFailed",
  "endpointStuck",
  "connected",
  "disconnected",
  "networkError",
];

type Listener<E extends keyof RpcEnvEvents> = (...event: RpcEnvEvents[E]) => void;

export class EnvEvents implements DispatcherEvents, NetworkEvents {
  readonly #emitter = new EventEmitter();
  readonly #logger: RpcLogger | null;
  readonly #warnings: ProcessWarnings;
  /** Where the env listens. */
  address: RpcAddress | null = null;

  constructor(name: string, logger: RpcLogger | null) {
    this.#logger = logger;
    this.#warnings = new ProcessWarnings(name);
  }

  on<E extends keyof RpcEnvEvents>(event: E, listener: Listener<E>): void {
    if (!EVENTS.includes(event)) {
      throw new RpcError("ERR_RPC_INVALID_ARGUMENT", `an env has no event ${event}; it has: ${EVENTS.join(", ")}`);
    }
    this.#emitter.on(event, listener as (...event: unknown[]) => void);
  }

  off<E extends keyof RpcEnvEvents>(event: E, listener: Listener<E>): void {
    this.#emitter.off(event, listener as (...event: unknown[]) => void);
  }

  deadLetter(endpoint: string, error: RpcError, count: number, message: () => unknown = () => undefined): void {
    const letter = { endpoint, address: error.address ?? this.address, reason: error.code, count, error, message };
    const log = (logger: RpcLogger): void => logger.warn({ endpoint, error, count }, "dead letter");
    this.#report("deadLetter", [letter], log, () => this.#warnings.deadLetter(endpoint, error));
  }

  loopCrashed(crash: LoopCrash): void {
    const what = crash.stuck ? "message loop does not end" : "message loop died";
    const warning = (): string => `${what}: loop=${crash.loop}, blamed=${crash.blamed}: ${describeThrown(crash.error)}`;
    this.#report("loopCrashed", [crash], (logger) => logger.error(crash, what), warning);
  }

  endpointFailed(endpoint: string, error: RpcError): void {
    const log = (logger: RpcLogger): void => logger.error({ endpoint, error }, "endpoint failed");
    this.#report("endpointFailed", [{ endpoint, error }], log, () => error.message);
  }

  endpointStuck(endpoint: string, loop: number, ageMs: number): void {
    const log = (logger: RpcLogger): void => logger.warn({ endpoint, loop, ageMs }, "endpoint stuck");
    const warning = (): string => `a handler of "${endpoint}" does not end: loop=${loop}, ageMs=${ageMs}`;
    this.#report("endpointStuck", [{ endpoint, loop, ageMs }], log, warning);
  }

  connected(address: RpcAddress): void {
    this.#report("connected", [address], (logger) => logger.info({ address }, "peer connected"), noWarning);
  }

  disconnected(address: RpcAddress): void {
    this.#report("disconnected", [address], (logger) => logger.info({ address }, "peer disconnected"), noWarning);
  }

  networkError(error: RpcError, address: RpcAddress): void {
    const log = (logger: RpcLogger): void => logger.warn({ error, address }, "a connection failed");
    const failed = `the connection to ${RpcAddress.hostPort(address)} failed: `;
    const { message } = error;
    const warning = (): string => (message.startsWith(failed) ? message : failed + message);
    this.#report("networkError", [error, address], log, warning);
  }

  /** A connection was refused before it was one: nobody's peer, so there is no event. */
  refused(error: RpcError): void {
    this.#logger?.warn({ error }, "a connection was refused");
  }

  /**
   * Tells logger and listeners; where there is neither, the process. What they throw is theirs: it must not stop loop 0
   * in the middle of its work.
   * @param warning the text for the process, or what tells it.
   */
  #report<E extends keyof RpcEnvEvents>(
    event: E,
    values: RpcEnvEvents[E],
    log: (logger: RpcLogger) => void,
    warning: () => string | void,
  ): void {
    const logger = this.#logger;
    if (logger === null && this.#emitter.listenerCount(event) === 0) {
      const text = warning();
      if (typeof text === "string") this.#warnings.warn(event, text);
      return;
    }
    for (const tell of [() => logger && log(logger), () => this.#emitter.emit(event, ...values)]) {
      try {
        tell();
      } catch (error) {
        process.nextTick(() => {
          throw error;
        });
      }
    }
  }
}

const noWarning = (): void => {};
