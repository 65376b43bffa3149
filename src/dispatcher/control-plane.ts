/**
 * The control plane between loop 0 and a message loop: comlink over MessagePorts, one for each direction of asking.
 * Never carries messages of users. The only file that imports comlink.
 */
import type { MessagePort } from "node:worker_threads";
import * as Comlink from "comlink";
import { RpcError } from "../common/errors.js";
import type { EnvControl, LoopControl } from "./loop-protocol.js";

/** Serves a loop's `control` to loop 0. */
export function expose(control: LoopControl, port: MessagePort): void {
  // Node's ports have the DOM methods comlink uses; only its types ask for the DOM's.
  Comlink.expose(control, port as unknown as Comlink.Endpoint);
}

/** Serves the env's `control` to a message loop. Does not keep the process alive. */
export function exposeEnv(control: EnvControl, port: MessagePort): void {
  Comlink.expose(control, port as unknown as Comlink.Endpoint);
  port.unref();
}

/** The same calls from the other side: all of them asynchronous. */
type Remote<Control> = {
  readonly [K in keyof Control]: Control[K] extends (...inputs: infer Inputs) => infer Result
    ? (...inputs: Inputs) => Promise<Awaited<Result>>
    : never;
};

/** Every call ends: comlink itself never rejects when the other side dies, so the end of the port does. */
class ControlClient<Control> {
  readonly #remote: Remote<Control>;
  readonly #port: MessagePort;
  readonly #lost: () => RpcError;
  /** Calls without an answer. Not one promise that all race: it would keep what each of them had, for as long as the port. */
  readonly #open = new Set<(error: RpcError) => void>();
  #closed = false;

  constructor(port: MessagePort, lost: () => RpcError) {
    this.#port = port;
    this.#lost = lost;
    this.#remote = Comlink.wrap<Control>(port as unknown as Comlink.Endpoint) as unknown as Remote<Control>;
    port.once("close", () => {
      this.#closed = true;
      for (const reject of this.#open) reject(lost());
      this.#open.clear();
    });
  }

  call<T>(ask: (remote: Remote<Control>) => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(this.#lost());
    return new Promise((resolve, reject) => {
      this.#open.add(reject);
      const answered = ask(this.#remote).then(resolve, reject);
      void answered.then(() => this.#open.delete(reject));
    });
  }

  close(): void {
    this.#port.close();
  }
}

/** Loop 0's end. */
export class LoopControlClient extends ControlClient<LoopControl> {
  constructor(loop: number, port: MessagePort) {
    const text = `message loop ${loop} ended while it was being told something`;
    super(port, () => new RpcError("ERR_RPC_WORKER_CRASHED", text));
  }
}

/** A message loop's end. */
export class EnvControlClient extends ControlClient<EnvControl> {
  constructor(port: MessagePort) {
    super(port, () => new RpcError("ERR_RPC_ENV_STOPPED", "the env was shut down before it could answer"));
  }
}
