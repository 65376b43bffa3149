/**
 * Goal: what is posted to an endpoint that is starting waits for it, in order; no replica serves before all have started;
 * what waits for one that does not start ends, and is counted.
 * Method: onStart waits at a gate, or fails behind it; refs that were not verified post meanwhile.
 */
import { type RpcDeadLetter, type RpcEndpointRef, RpcEnv, type RpcUntyped } from "ringpost";
import { describe, expect, test } from "vitest";
import { failureOf } from "../contract/ask-send.contract.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import { Gate } from "../fixtures/gate.js";
import SlowStartSerial from "../fixtures/slow-start-serial.js";

type Form = "on the main thread" | "on a message loop" | "as replicas";
type SetUp = (env: RpcEnv, args: { gate: string; fail: boolean }) => Promise<unknown>;

const FORMS: [Form, replicas: number, SetUp][] = [
  ["on the main thread", 1, (env, args) => env.setupEndpoint("slow", new SlowStartSerial(args))],
  ["on a message loop", 1, (env, args) => env.setupEndpoint("slow", fixtureUrl("slow-start-serial"), { args })],
  ["as replicas", 2, (env, args) => env.setupEndpoint("slow", fixtureUrl("slow-start"), { args })],
];

async function refOf(env: RpcEnv): Promise<RpcEndpointRef<RpcUntyped>> {
  return env.setupEndpointRef<RpcUntyped>(null, "slow", { verify: false });
}

describe.each(FORMS)("an endpoint %s", (_form, replicas, setUp) => {
  test("that is starting keeps what is posted to it, large ones too, for after its start", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 2 });
    const set = setUp(env, { gate: gate.name, fail: false });
    await gate.reached(replicas);
    const ref = await refOf(env);
    await ref.ready();
    for (let n = 0; n < 100; n++) expect(ref.send(n)).toBe(true);
    const asked = ref.ask(100);
    const large = ref.ask(new Uint8Array(300_000));
    const late = await failureOf(ref.ask("late", { timeoutMs: 60 }));
    expect([late.code, late.maybeExecuted]).toEqual(["ERR_RPC_TIMEOUT", true]);
    expect(gate.notes).toEqual([]);
    gate.open();
    await set;
    expect(await asked).toBe(100);
    expect(((await large) as Uint8Array).length).toBe(300_000);
    const notes: unknown[] = [];
    while (notes.length < 102 + replicas) notes.push(await gate.note());
    const numbers = notes.filter((note) => typeof note === "number") as number[];
    // What an instance sends itself in onStart is of another sender: it has its own place.
    expect(numbers.filter((n) => n === -1)).toHaveLength(replicas);
    const ours = numbers.filter((n) => n >= 0);
    expect(replicas === 1 ? ours : ours.sort((a, b) => a - b)).toEqual(Array.from({ length: 101 }, (_, n) => n));
    const accepted = 100 + replicas;
    const counts = (): unknown => env.stats().endpoints[0]?.oneWays;
    await expect.poll(counts).toEqual({ accepted, handled: accepted, failed: 0, deadLettered: 0 });
  });

  test("that does not start fails what was asked of it; what was sent is dead letters", async () => {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 2 });
    const letters: RpcDeadLetter[] = [];
    env.on("deadLetter", (letter) => letters.push(letter));
    const set = setUp(env, { gate: gate.name, fail: true });
    set.catch(() => {});
    await gate.reached(replicas);
    const ref = await refOf(env);
    for (let n = 0; n < 10; n++) expect(ref.send(n)).toBe(true);
    const asked = failureOf(ref.ask(1));
    gate.open();
    expect((await failureOf(set)).code).toBe("ERR_RPC_ENDPOINT_START");
    expect(await asked).toMatchObject({ code: "ERR_RPC_ENDPOINT_START", maybeExecuted: false });
    // Those of its own onStart may come too late to wait, even after its failure, and are refused by themselves.
    const lost = (): number => letters.reduce((sum, { count }) => sum + count, 0);
    await expect.poll(lost).toBe(10 + replicas);
    expect((await failureOf(ref.ask(1))).code).toBe("ERR_RPC_ENDPOINT_NOT_FOUND");
    expect(env.stats().endpoints).toEqual([]);
  });
});
