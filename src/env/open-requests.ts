/**
 * The requests of one connection that have no answer yet, found by their ids when their sender gives some up. Steps 2 and 8
 * of the data flow.
 *
 * Nearly all are answered and never looked for: one costs a place in a list and no more. Those that are answered leave it
 * together, when half of the list may be such; ids are read and indexed when one is looked for, each once.
 *
 *     #requests   [indexed … | not yet … ]   open, or answered since
 */
import type { RemoteAsker } from "../dispatcher/outstanding-asks.js";
import type { RpcReply } from "../network/rpc-reply.js";

export interface OpenRequest extends RemoteAsker {
  readonly reply: RpcReply;
}

/** Fewer are not worth a look. */
const PLACES_KEPT = 64;

export class OpenRequests {
  readonly #requests: OpenRequest[] = [];
  readonly #byId = new Map<string, OpenRequest>();
  #indexed = 0;
  #placesMax = PLACES_KEPT;

  add(request: OpenRequest): void {
    if (this.#requests.length >= this.#placesMax) this.#forgetAnswered();
    this.#requests.push(request);
  }

  /** By the request's id, a character for each byte. */
  find(id: string): OpenRequest | undefined {
    for (; this.#indexed < this.#requests.length; this.#indexed++) {
      const request = this.#requests[this.#indexed] as OpenRequest;
      if (request.reply.isOpen) this.#byId.set(request.reply.requestIdText, request);
    }
    const found = this.#byId.get(id);
    return found?.reply.isOpen === true ? found : undefined;
  }

  get all(): OpenRequest[] {
    return this.#requests.filter(({ reply }) => reply.isOpen);
  }

  #forgetAnswered(): void {
    const requests = this.#requests;
    let kept = 0;
    for (const request of requests) if (request.reply.isOpen) requests[kept++] = request;
    requests.length = kept;
    this.#placesMax = 2 * kept + PLACES_KEPT;
    this.#byId.clear();
    this.#indexed = 0;
  }
}
