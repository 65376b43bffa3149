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

/** Every call ends: comlink itself never rejects when the other side dies, so each races the port. */
class ControlClient<Control> {
  readonly #remote: Remote<Control>;
  readonly #port: MessagePort;
  /** Calls that wait. Not a race against one promise of the port: that would keep every call until the port closes. */
  readonly #waiting = new Set<(error: RpcError) => void>();
  #lost: RpcError | null = null;

  constructor(port: MessagePort, lost: () => RpcError) {
    this.#port = port;
    this.#remote = Comlink.wrap<Control>(port as unknown as Comlink.Endpoint) as unknown as Remote<Control>;
    port.once("close", () => {
      this.#lost = lost();
      for (const reject of this.#waiting) reject(this.#lost);
      this.#waiting.clear();
    });
  }

  call<T>(ask: (remote: Remote<Control>) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const answer = ask(this.#remote);
      if (this.#lost === null) this.#waiting.add(reject);
      else reject(this.#lost);
      answer.then(resolve, reject).finally(() => this.#waiting.delete(reject));
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
