/**
 * The control plane between loop 0 and a message loop: comlink over a MessagePort. Never carries messages of users.
 * The only file that imports comlink.
 */
import type { MessagePort } from "node:worker_threads";
import * as Comlink from "comlink";
import { RpcError } from "../common/errors.js";
import type { LoopControl } from "./loop-protocol.js";

/** Serves `control` on `port`. */
export function expose(control: LoopControl, port: MessagePort): void {
  // Node's ports have the DOM methods comlink uses; only its types ask for the DOM's.
  Comlink.expose(control, port as unknown as Comlink.Endpoint);
}

/** The same calls from the other side: all of them asynchronous. */
type RemoteLoopControl = {
  readonly [K in keyof LoopControl]: (
    ...inputs: Parameters<LoopControl[K]>
  ) => Promise<Awaited<ReturnType<LoopControl[K]>>>;
};

/** Loop 0's end. Every call ends: comlink itself never rejects when the other side dies, so each races the port. */
export class LoopControlClient {
  readonly #remote: RemoteLoopControl;
  readonly #port: MessagePort;
  readonly #lost: Promise<never>;

  constructor(loop: number, port: MessagePort) {
    this.#port = port;
    this.#remote = Comlink.wrap<LoopControl>(port as unknown as Comlink.Endpoint) as unknown as RemoteLoopControl;
    this.#lost = new Promise<never>((_resolve, reject) => {
      port.once("close", () => {
        reject(new RpcError("ERR_RPC_WORKER_CRASHED", `message loop ${loop} ended while it was being told something`));
      });
    });
    // Each call has its own race; nobody else listens.
    this.#lost.catch(() => {});
  }

  call<T>(ask: (remote: RemoteLoopControl) => Promise<T>): Promise<T> {
    return Promise.race([ask(this.#remote), this.#lost]);
  }

  close(): void {
    this.#port.close();
  }
}
