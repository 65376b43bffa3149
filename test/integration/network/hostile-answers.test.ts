/**
 * Goal: whatever a peer answers an ask with, the ask settles with a value or an error of ours, and neither the asking process
 * nor a worker of it ends.
 * Method: a peer that answers with bytes made by hand; asks of the main thread and of a handler on a message loop.
 */
import { Packr } from "msgpackr";
import { RpcEnv, type RpcError } from "ringpost";
import { describe, expect, test } from "vitest";
import { PayloadCodec } from "../../../dist/src/rpc/codec.js";
import { ValueKind } from "../../../dist/src/rpc/value-kinds.js";
import { AnsweringPeer, answer, answerOf } from "../../fixtures/answering-peer.js";
import { fixtureUrl } from "../../fixtures/fixture-url.js";
import type service from "../../fixtures/peer-service.js";

/** String() of it throws. */
const MUTE = { toString: 1, valueOf: 1 };
const packr = new Packr({ useRecords: false });

/** A handler's failure whose cause is an error with these parts and fields, as nobody of ours writes it. */
function causedBy(...parts: unknown[]): Buffer {
  const failure = [packr.pack("ERR_RPC_HANDLER"), packr.pack("text")];
  const value = Buffer.from([0xd4, 0x76, 0x00]);
  const bytes = [Buffer.from([0x93]), ...failure, value, packr.pack([ValueKind.ERROR, ...parts])];
  return answerOf(true, PayloadCodec.MSGPACK, Buffer.concat(bytes));
}

const SERIALIZATION = { code: "ERR_RPC_SERIALIZATION", endpoint: "e", maybeExecuted: true };
const HANDLER = { code: "ERR_RPC_HANDLER", message: "text", endpoint: "e", maybeExecuted: true };
const ANSWERS: readonly (readonly [what: string, bytes: Buffer, error: object])[] = [
  ["a text without a string", answer(true, ["ERR_RPC_HANDLER", MUTE, null]), SERIALIZATION],
  ["a text that is a list with such", answer(true, ["ERR_RPC_HANDLER", ["a", MUTE], null]), SERIALIZATION],
  ["a number as text", answer(true, ["ERR_RPC_HANDLER", 5, { name: 1 }, true, true]), SERIALIZATION],
  ["a timeout whose text is none", answer(true, ["ERR_RPC_TIMEOUT", MUTE, null]), SERIALIZATION],
  ["a code in a list", answer(true, [["ERR_RPC_HANDLER"], "x"]), SERIALIZATION],
  ["no failure at all", answer(true, null), SERIALIZATION],
  ["nothing where a failure should be", answer(true, undefined), SERIALIZATION],
  ["flags that are none", answer(true, ["ERR_RPC_HANDLER", "text", 1, MUTE, "yes"]), HANDLER],
  [
    "a cause that has no text",
    answer(true, ["ERR_RPC_HANDLER", "text", MUTE]),
    { ...HANDLER, remote: { name: "object", message: "a value that cannot be described", fields: {} } },
  ],
  ["an error with a second message", causedBy("Error", "m", null, false, null, "message", MUTE), SERIALIZATION],
  [
    "an error of ours with flags that are none",
    causedBy("RpcError", "m", null, false, null, "code", "ERR_RPC_STREAM", "retryable", MUTE, "maybeExecuted", 1),
    { ...HANDLER, remote: { name: "RpcError", message: "m", code: "ERR_RPC_STREAM" } },
  ],
  ["bytes that are no message", answerOf(true, PayloadCodec.MSGPACK, Buffer.from([0xc1])), SERIALIZATION],
];

async function ending(ask: Promise<unknown>): Promise<RpcError> {
  return ask.then(
    (value) => expect.fail(`it was answered: ${String(value)}`),
    (error) => error as RpcError,
  );
}

describe("an answer with", () => {
  test.each(ANSWERS)("%s fails its ask, on the main thread and on a message loop", async (_what, bytes, expected) => {
    await using peer = await AnsweringPeer.listen();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const crashed: unknown[] = [];
    env.on("loopCrashed", (crash) => crashed.push(crash));
    const asker = await env.setupEndpoint<typeof service>("asker", fixtureUrl("peer-service"));
    const ref = await env.setupEndpointRef(peer.address, "e");
    peer.next = () => bytes;
    expect(await ending(ref.with({ timeoutMs: 10_000 }).ask("x"))).toMatchObject(expected);
    // As the cause of what the handler failed of.
    expect((await ending(asker.with({ timeoutMs: 10_000 }).call.ask(ref, "x"))).cause).toMatchObject(expected);
    // The slots of both are in order, and are used again.
    peer.next = () => answer(false, "fine");
    expect([await ref.ask("x"), await asker.call.ask(ref, "x"), crashed]).toEqual(["fine", "fine", []]);
  });
});

describe("a verifier that answers", () => {
  const [fine, none] = [["fine", "fine", 1, "fine"], "ERR_RPC_ENDPOINT_NOT_FOUND"];
  test.each([
    ["true, as Spark's", true, fine],
    ["with what can become no string", MUTE, fine],
    ["with hints that are none", { env: MUTE, replicas: MUTE, methods: ["then", MUTE] }, fine],
    ["with hints of other kinds", { env: 5, replicas: "many", methods: { length: 1 } }, fine],
    ["with fewer replicas than one", { env: "", replicas: -1, methods: null }, fine],
    ["with more replicas than there can be", { env: "a:b", replicas: 1e308, methods: null }, fine],
    ["with half a replica", { env: "x", replicas: 1.5 }, fine],
    ["with a list", [1], fine],
    ["false", false, none],
    ["with a text", "true", none],
    ["with null", null, none],
  ])("%s: a ref of it works, or there is none", async (_what, verified, expected) => {
    await using peer = await AnsweringPeer.listen();
    await using env = await RpcEnv.create({ numThreads: 1 });
    const asker = await env.setupEndpoint<typeof service>("asker", fixtureUrl("peer-service"));
    peer.next = () => answer(false, "fine");
    peer.verified = answer(false, verified);
    const used = async (): Promise<unknown[]> => {
      const ref = await env.setupEndpointRef(peer.address, "e");
      const there = await env.setupEndpointRef(peer.address, "e", { verify: false });
      // As another thread sees it, too.
      return [await ref.ask("x"), await asker.call.ask(ref, "x"), ref.broadcast("all"), await there.ask("x")];
    };
    expect(await used().catch(({ code }) => code)).toEqual(expected);
  });
});
