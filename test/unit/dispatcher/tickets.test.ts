/**
 * Goal: a ticket ends exactly once, and its bytes, attachments included, and its block are held from post to end.
 * Method: a budget that shows what is held.
 */
import { expect, test } from "vitest";
import { BODY_BLOCK_BYTES_MAX, BODY_BLOCKS_PER_SIZE } from "../../../dist/src/common/limits.js";
import { Tickets } from "../../../dist/src/dispatcher/tickets.js";
import { FreeBodyBlocks } from "../../../dist/src/inbox/body-blocks.js";
import { SpillBudget, SpillTotal } from "../../../dist/src/inbox/spill-queue.js";

function made() {
  const total = new SpillTotal(1_000);
  const budget = new SpillBudget({ messagesMax: 10, bytesMax: 500 }, total);
  const body = { bytes: new Uint8Array(100), attachments: [new ArrayBuffer(200), new ArrayBuffer(50)] };
  const blocks = new FreeBodyBlocks();
  return { total, budget, body, blocks, tickets: new Tickets(blocks) };
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

test("a block goes back once, with its ticket, however often that is ended", () => {
  const { total, budget, blocks, tickets } = made();
  const parts = [new Uint8Array(BODY_BLOCK_BYTES_MAX)];
  const ids = Array.from({ length: BODY_BLOCKS_PER_SIZE }, () => tickets.openBlock(3, blocks.claim(parts), 50, budget));
  expect([blocks.claim(parts), budget.bytes, total.bytes]).toEqual([-1, 400, 400]);
  for (const again of [0, 1]) expect([again, tickets.end(ids[0] as number)]).toEqual([again, null]);
  expect([blocks.claim(parts) !== -1, blocks.claim(parts), budget.bytes]).toEqual([true, -1, 350]);
  tickets.endAllOf(3);
  expect([budget.messages, budget.bytes, tickets.count]).toEqual([0, 0, 0]);
});
