/**
 * Goal: a request that has no answer is found by its id; those that were answered are not, and their ids are
 * never read; and looking for many costs each id one look.
 * Method: requests that count who reads their ids.
 */
import { expect, test } from "vitest";
import { type OpenRequest, OpenRequests } from "../../../dist/src/env/open-requests.js";
import type { RpcReply } from "../../../dist/src/network/rpc-reply.js";

let idsRead = 0;

class Request implements OpenRequest {
  slot = -1;
  readonly #id: string;
  isOpen = true;
  readonly reply: RpcReply;

  constructor(id: number) {
    this.#id = String(id);
    this.reply = this as unknown as RpcReply;
  }

  get requestIdText(): string {
    idsRead++;
    return this.#id;
  }

  answer(): void {}
  forget(): void {}
}

test("requests without an answer are found by their ids, others are not", () => {
  const requests = new OpenRequests();
  const made = Array.from({ length: 1_000 }, (_, id) => new Request(id));
  for (const [id, request] of made.entries()) {
    requests.add(request);
    request.isOpen = id % 3 === 0;
  }
  for (const [id, request] of made.entries()) {
    expect(requests.find(String(id))).toBe(id % 3 === 0 ? request : undefined);
  }
  expect(requests.all).toEqual(made.filter((_request, id) => id % 3 === 0));
  expect(requests.find("nobody's")).toBe(undefined);
  // One that is found and then answered is gone; so is one of the same id that an asker has used again.
  const [first] = made;
  if (first === undefined) throw new Error("there is one");
  first.isOpen = false;
  expect(requests.find("0")).toBe(undefined);
  const again = new Request(0);
  requests.add(again);
  expect(requests.find("0")).toBe(again);
});

test("to find 1,000 of 10,000 one by one each id is read once, whatever is asked and answered between", () => {
  const requests = new OpenRequests();
  const made = Array.from({ length: 10_000 }, (_, id) => new Request(id));
  for (const request of made) requests.add(request);
  idsRead = 0;
  for (let id = 0; id < 1_000; id++) {
    expect(requests.find(String(id))).toBe(made[id]);
    (made[id] as Request).isOpen = false;
    const between = new Request(10_000 + id);
    requests.add(between);
    between.isOpen = false;
  }
  expect(idsRead).toBe(10_000);
});

test("of requests that are answered no id is ever read", () => {
  const requests = new OpenRequests();
  idsRead = 0;
  for (let id = 0; id < 1_000; id++) {
    const request = new Request(id);
    requests.add(request);
    request.isOpen = false;
  }
  expect([requests.all, idsRead]).toEqual([[], 0]);
});
