/** The endpoint of `ringpost bench`: burns the CPU time it was told to and gives its message back. */
import { type RpcAsk, type RpcCallContext, RpcEndpoint } from "../index.js";
import { spin } from "./spin.js";

export type BenchMessage = RpcAsk<{ id: number; op: string; by: number }, BenchReply> | Uint8Array;
export type BenchReply = { id: number; op: string; by: number } | Uint8Array;

export default class BenchEndpoint extends RpcEndpoint {
  readonly #iterations: number;

  constructor(args: { iterations: number }) {
    super();
    this.#iterations = args.iterations;
  }

  override receiveAndReply(message: BenchMessage, _context: RpcCallContext<BenchReply>): BenchReply {
    spin(this.#iterations);
    return message;
  }
}
