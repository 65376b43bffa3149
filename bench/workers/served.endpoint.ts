/** One of thousands: counts what it was sent, and settles its thread's heap when told to. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type RpcAsk, ThreadSafeRpcEndpoint } from "ringpost";

type Served = RpcAsk<Uint8Array | "served", number>;

export default class ServedEndpoint extends ThreadSafeRpcEndpoint {
  #served = 0;

  override receive(_message: Uint8Array): void {
    this.#served++;
  }

  override receiveAndReply(message: Served | RpcAsk<"collect", number>): number {
    if (message instanceof Uint8Array) this.#served++;
    if (message === "collect") collect();
    return this.#served;
  }
}

/** A full collection of this thread's heap, without a flag on the command line. */
export function collect(): void {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
}
