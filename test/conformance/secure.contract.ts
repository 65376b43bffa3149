/**
 * Goal: environments that prove who they are talk to each other and to nobody else, and nobody on the way reads what they say:
 * Spark's tests with authentication and encryption, which TLS 1.3 is both of here.
 * Method: the wire between the two is a relay that keeps what passes.
 */
import { randomBytes } from "node:crypto";
import { RpcEnv, type RpcEnvOptions } from "ringpost";
import { describe, expect, test } from "vitest";
import { Gate } from "../fixtures/gate.js";
import type { SparkRef } from "../fixtures/spark-behaviour.js";
import { WireTap } from "../fixtures/wire-tap.js";
import { failureOf, type NetworkForm, notesUntil } from "./form.js";

const HOST = "127.0.0.1";
const TEXT = "nobody on the way reads this";

export function secureSuite(form: NetworkForm): void {
  const { place, security } = form;

  /** An endpoint, its reference at the other end of a wire that is tapped. */
  async function withTap(run: (ref: SparkRef, gate: Gate, env: RpcEnv, tap: WireTap) => Promise<void>): Promise<void> {
    using gate = new Gate();
    await using env = await RpcEnv.create({ numThreads: 2, ...security, host: HOST });
    await place.setUp(env, "spark", { gate: gate.name });
    if (env.address === null) throw new Error("it listens");
    await using tap = await WireTap.to(env.address);
    await using other = await RpcEnv.create(security);
    await run((await other.setupEndpointRef(tap.address, "spark")) as SparkRef, gate, env, tap);
  }

  /** Why a look-up by an environment of these options fails. */
  async function refusalOf(env: RpcEnv, options: RpcEnvOptions): Promise<string> {
    await using stranger = await RpcEnv.create(options);
    return (await failureOf(stranger.setupEndpointRef(env.address, "spark"))).code;
  }

  describe(`RpcEnvSuite, security, ${form.name}`, () => {
    test("[spark 26] a one-way message arrives between two that trust each other, and none of a stranger's", () =>
      withTap(async (ref, gate, env) => {
        expect(ref.send({ op: "note", value: TEXT })).toBe(true);
        await notesUntil(gate, (note) => note === TEXT);
        expect(await refusalOf(env, { secret: randomBytes(32) })).toBe("ERR_RPC_AUTH");
      }));

    test("[spark 28] a one-way message arrives, and is not to be read on the wire", () =>
      withTap(async (ref, gate, _env, tap) => {
        ref.send({ op: "note", value: TEXT });
        await notesUntil(gate, (note) => note === TEXT);
        expect(tap.passed.length).toBeGreaterThan(TEXT.length);
        expect(tap.passed.includes(TEXT)).toBe(false);
      }));

    test("[spark 29] an ask is answered between two that trust each other, and none of a stranger's", () =>
      withTap(async (ref, _gate, env) => {
        expect(await ref.ask({ op: "echo", value: TEXT })).toBe(TEXT);
        expect(await refusalOf(env, {})).toMatch(/^ERR_RPC_(AUTH|CONNECT|CONNECTION_LOST|PROTOCOL)$/);
      }));

    test("[spark 31] an ask is answered, and neither it nor its answer is to be read on the wire", () =>
      withTap(async (ref, _gate, _env, tap) => {
        expect(await ref.ask({ op: "echo", value: TEXT })).toBe(TEXT);
        expect(tap.passed.includes(TEXT)).toBe(false);
      }));

    test("[spark 42] the connection on which all these tests are run is TLS from its first byte, both ways", () =>
      withTap(async (ref, _gate, _env, tap) => {
        await ref.ask({ op: "echo" });
        // A record of a handshake: 22, then the version that all TLS records say.
        expect([...tap.passed.subarray(0, 2)]).toEqual([0x16, 0x03]);
        expect(tap.passed.includes("spark")).toBe(false);
      }));
  });
}
