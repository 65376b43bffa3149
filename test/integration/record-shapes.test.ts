/**
 * Goal: objects arrive as they were sent while the threads of an env agree on shapes, more of them than there is room
 * for, whoever meets a shape first.
 * Method: values whose keys and content follow from two numbers, at random over many shapes, until the list is full.
 */
import { RpcEnv } from "ringpost";
import { expect, test } from "vitest";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { printedRandom } from "../fixtures/random.js";
import { shaped } from "../fixtures/shapes-service.js";

type Shapes = typeof import("../fixtures/shapes-service.js");

test("objects of 200 shapes, sent and made by three threads, arrive whole", async () => {
  const random = printedRandom("record shapes");
  await using env = await RpcEnv.create({ numThreads: 2 });
  const ref = await env.setupEndpoint<Shapes>("shapes", fixtureUrl("shapes-service"));
  for (let round = 0; round < 60; round++) {
    const asks = Array.from({ length: 200 }, async () => {
      // Few shapes first, so that some are adopted while others are still unknown.
      const shape = random.logarithmic(1, 200);
      const n = random.integer(0, 300);
      const arrived = random.next() < 0.5 ? ref.call.make(shape, n) : ref.call.echo(shaped(shape, n));
      expect(await arrived).toStrictEqual(shaped(shape, n));
    });
    await Promise.all(asks);
  }
}, 60_000);
