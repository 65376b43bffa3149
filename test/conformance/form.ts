/** The forms that an endpoint can have, and the ways to it: every conformance suite is run for each. */
import { randomBytes } from "node:crypto";
import { type RpcEndpointOptions, RpcEnv, type RpcEnvOptions } from "ringpost";
import { expect } from "vitest";
import { failureOf } from "../contract/ask-send.contract.js";
import { authority, leaf } from "../fixtures/certificates.js";
import { fixtureUrl } from "../fixtures/fixture-url.js";
import type { Gate } from "../fixtures/gate.js";
import type { SparkArgs, SparkRef } from "../fixtures/spark-behaviour.js";
import type { FormName } from "./spark-entries.js";

export { failureOf };
export type SparkKind = "serial" | "concurrent";

export interface Form {
  readonly name: FormName;
  /** Instances of a concurrent endpoint in an environment of two loops. */
  readonly replicas: number;
  /** The test reaches the endpoint over a connection. */
  readonly remote: boolean;
  /** Makes the environment of the endpoint, and with it what the way to it needs. */
  createEnv(options?: RpcEnvOptions): Promise<RpcEnv>;
  /** Where the test stands: the same environment, or one at the other end of a connection. */
  caller(env: RpcEnv): RpcEnv;
  /** Sets up the suites' endpoint. Resolves to a reference as `caller` has it. */
  setUp(env: RpcEnv, name: string, args: SparkArgs, kind?: SparkKind, options?: RpcEndpointOptions): Promise<SparkRef>;
}

/** A form whose endpoint is in another environment than the test. */
export interface NetworkForm extends Form {
  /** Where in its environment the endpoint runs. */
  readonly place: Form;
  /** What both sides are given to prove who they are. */
  readonly security: RpcEnvOptions;
}

type SparkModule = typeof import("../fixtures/spark-serial.js");

const here = {
  remote: false,
  createEnv: (options: RpcEnvOptions = {}) => RpcEnv.create(options),
  caller: (env: RpcEnv) => env,
};

/** The endpoint's module runs on message loops. */
export const onMessageLoops: Form = {
  ...here,
  name: "on message loops",
  replicas: 2,
  setUp: (env, name, args, kind = "serial", options = {}) =>
    env.setupEndpoint(name, fixtureUrl(`spark-${kind}`), { ...options, args }),
};

/** An instance of the same class runs on the main thread. */
export const onLoopZero: Form = {
  ...here,
  name: "on loop 0",
  replicas: 1,
  async setUp(env, name, args, kind = "serial", options = {}) {
    const { default: Endpoint } = (await import(fixtureUrl(`spark-${kind}`).href)) as SparkModule;
    return (await env.setupEndpoint(name, new Endpoint(args), options)) as unknown as SparkRef;
  },
};

/** The environments at the other ends, by that of the endpoint. */
const callers = new WeakMap<RpcEnv, RpcEnv>();

function callerOf(env: RpcEnv): RpcEnv {
  return callers.get(env) ?? expect.fail("it was not made by this form");
}

/** The endpoint is `place` in one environment; the test has a reference to it in another, which does not listen. */
function overTheNetwork(name: FormName, place: Form, security: RpcEnvOptions = {}): NetworkForm {
  return {
    name,
    replicas: place.replicas,
    remote: true,
    place,
    security,
    async createEnv(options = {}) {
      const env = await RpcEnv.create({ ...options, ...security, host: "127.0.0.1" });
      const caller = await RpcEnv.create({ ...options, ...security });
      callers.set(env, caller);
      // Connected before there is an endpoint, so that none is told of it.
      await caller.setupEndpointRef(env.address, "endpoint-verifier");
      const end = env.shutdown.bind(env);
      return Object.assign(env, {
        async [Symbol.asyncDispose]() {
          await Promise.all([caller.shutdown(), end()]);
        },
      });
    },
    caller: callerOf,
    async setUp(env, endpoint, args, kind, options) {
      await place.setUp(env, endpoint, args, kind, options);
      return callerOf(env).setupEndpointRef(env.address, endpoint);
    },
  };
}

const secret = randomBytes(32);
const signer = authority("of the conformance suites");
const certificate = leaf(signer, "any", { names: ["URI:ringpost://conformance", "DNS:localhost", "IP:127.0.0.1"] });

export const networkOnMessageLoops = overTheNetwork("over the network, on message loops", onMessageLoops);
export const networkOnLoopZero = overTheNetwork("over the network, on loop 0", onLoopZero);
export const secretOnMessageLoops = overTheNetwork("by secret, on message loops", onMessageLoops, { secret });
export const secretOnLoopZero = overTheNetwork("by secret, on loop 0", onLoopZero, { secret });
export const tlsOnMessageLoops = overTheNetwork("by certificate, on message loops", onMessageLoops, {
  tls: { ...certificate, ca: signer.cert },
});

/** Notes up to and including the first that `until` accepts. */
export async function notesUntil(gate: Gate, until: (note: never) => boolean): Promise<unknown[]> {
  const notes: unknown[] = [];
  for (;;) {
    const note = await gate.note();
    notes.push(note);
    if (until(note as never)) return notes;
  }
}

/** The notes of a life that has ended. */
export function notesUntilStopped(gate: Gate): Promise<unknown[]> {
  return notesUntil(gate, (note: object) => typeof note === "object" && note !== null && "stopped" in note);
}

/** Milliseconds a promise takes to settle. */
export async function settlesWithin(ms: number, promise: Promise<unknown>): Promise<void> {
  const startedMs = performance.now();
  await promise.catch(() => {});
  expect(performance.now() - startedMs).toBeLessThan(ms);
}
