/**
 * Goal: a ticket ends exactly once, and its bytes, attachments included, are held from post to end.
 * Method: a budget that shows what is held.
 */
import { expect, test } from "vitest";
import { Tickets } from "../../../dist/src/dispatcher/tickets.js";
import { SpillBudget, SpillTotal } from "../../../dist/src/inbox/spill-queue.js";

function made() {
  const total = new SpillTotal(1_000);
  const budget = new SpillBudget({ messagesMax: 10, bytesMax: 500 }, total);
  const body = { bytes: new Uint8Array(100), attachments: [new ArrayBuffer(200), new ArrayBuffer(50)] };
  return { total, budget, body, tickets: new Tickets() };
}

test("payload and attachments count as one message until its ticket ends, and then no more", () => {
  const { total, budget, body, tickets } = made();
  const id = tickets.open(3, body, budget);
  expect([budget.messages, budget.bytes, total.bytes, tickets.count]).toEqual([1, 350, 350, 1]);
  expect(budget.admits(151)).toBe(false);
  expect(tickets.end(id)).toBe(body);
  expect(tickets.end(id)).toBe(null);
  expect([budget.messages, budget.bytes, total.bytes, tickets.count]).toEqual([0, 0, 0, 0]);
});

test("an endpoint that is freed ends all of its tickets and no others", () => {
  const { budget, body, tickets } = made();
  const ids = [3, 4, 3].map((endpoint) => tickets.open(endpoint, body, budget));
  tickets.endAllOf(3);
  expect(ids.map((id) => tickets.end(id))).toEqual([null, body, null]);
  expect([budget.messages, budget.bytes]).toEqual([0, 0]);
});
