/**
 * `ringpost ask | send | call | cast <uri> …`: one message to an endpoint of another process. The endpoint is looked up
 * first, so that a wrong address and a wrong name are told apart, and no one-way message goes to nobody.
 */
import type { CAC } from "cac";
import { isRpcError, type RpcEndpointCalls, type RpcEndpointRef, RpcEnv, RpcError, type RpcUntyped } from "../index.js";
import { ExitCode, UsageError } from "./exit.js";
import { adviceOf } from "./failure-text.js";
import { showValue, toJsonValue } from "./json-value.js";
import { flagOption, inputOf, numberOption, type ParsedOptions } from "./options.js";
import { Report } from "./report.js";
import { readSecurity, securityOptions } from "./security-options.js";
import { silentLogger } from "./stderr-logger.js";

const TIMEOUT_S_DEFAULT = 120;
const INPUTS = "JSON, or @file for a file's bytes";

/** A conversation with the endpoint: what it answers, or null of a one-way message that it has been given. */
type Talk = (ref: RpcEndpointRef<RpcUntyped>, patient: RpcEndpointCalls<RpcUntyped>) => Promise<unknown> | boolean;

interface Answer {
  readonly value: unknown;
}

export function askCommand(cli: CAC): void {
  clientCommand(cli, "ask <uri> <json>", `Ask an endpoint and print its answer; the message is ${INPUTS}`).action(
    (uri: string, json: string, options: ParsedOptions) => {
      const message = inputOf("the message", json);
      return talk(uri, options, (_ref, patient) => patient.ask(message));
    },
  );
}

export function sendCommand(cli: CAC): void {
  clientCommand(cli, "send <uri> <json>", `Send an endpoint a one-way message; the message is ${INPUTS}`).action(
    (uri: string, json: string, options: ParsedOptions) => {
      const message = inputOf("the message", json);
      return talk(uri, options, (ref) => ref.send(message));
    },
  );
}

export function callCommand(cli: CAC): void {
  clientCommand(cli, "call <uri> <method> [...json]", `Call a service's method; each argument is ${INPUTS}`).action(
    (uri: string, method: string, json: string[], options: ParsedOptions) => {
      const inputs = inputsOf(json, options);
      return talk(uri, options, (_ref, patient) => methodOf(patient.call, method)(...inputs));
    },
  );
}

export function castCommand(cli: CAC): void {
  clientCommand(cli, "cast <uri> <method> [...json]", `As call, one-way; each argument is ${INPUTS}`).action(
    (uri: string, method: string, json: string[], options: ParsedOptions) => {
      const inputs = inputsOf(json, options);
      return talk(uri, options, (ref) => {
        checkMethod(ref, method);
        return methodOf(ref.cast, method)(...inputs);
      });
    },
  );
}

function clientCommand(cli: CAC, usage: string, about: string): ReturnType<CAC["command"]> {
  const command = cli
    .command(usage, about)
    .option("--timeout <s>", `Seconds for all of it (default: ${TIMEOUT_S_DEFAULT})`)
    .option("--json", 'One JSON document on stdout, {"value": …} or {"error": …}; text on stderr');
  return securityOptions(command);
}

/** What stands after `--` are arguments too. */
function inputsOf(json: string[], options: ParsedOptions): unknown[] {
  const after = options["--"];
  return [...json, ...(Array.isArray(after) ? after : [])].map((text, index) => inputOf(`argument ${index + 1}`, text));
}

/** Of a proxy with a function for each name but those that no service can have. */
function methodOf<F>(methods: { readonly [name: string]: F | undefined }, name: string): F {
  const method = methods[name];
  if (method === undefined) throw new UsageError(`no service has a method ${name}`);
  return method;
}

/** Nobody answers a cast: what its service would say of an unknown method is said here, where the look-up has told them. */
function checkMethod({ name, cast }: RpcEndpointRef<RpcUntyped>, method: string): void {
  const methods = Object.keys(cast);
  if (methods.length === 0 || methods.includes(method)) return;
  const text = `"${name}" has no method ${method}; it has: ${methods.join(", ")}`;
  throw new RpcError("ERR_RPC_NO_SUCH_METHOD", text, { endpoint: name });
}

async function talk(uri: string, options: ParsedOptions, say: Talk): Promise<number> {
  // Without an address it would be an endpoint of this process, which has none.
  if (!uri.includes("@")) throw new UsageError(`${uri} has no address: ringpost://name@host:port`);
  const seconds = numberOption(options, "--timeout", { min: 0.001, max: 86_400 }) ?? TIMEOUT_S_DEFAULT;
  const security = await readSecurity(options);
  const report = new Report(flagOption(options, "--json"));
  try {
    await using env = await RpcEnv.create({ name: "ringpost", numThreads: 1, logger: silentLogger, ...security });
    const answer = await exchange(env, uri, seconds * 1_000, say);
    if (answer === null) report.line(`sent to ${uri}`);
    else report.line(showValue(answer.value));
    report.json({ value: toJsonValue(answer === null ? null : answer.value) });
    return ExitCode.DONE;
  } catch (error) {
    if (!isRpcError(error)) throw error;
    report.json({ error: jsonOf(error) });
    throw error;
  }
}

/** Looks the endpoint up and talks to it. null: a one-way message, which has arrived at its environment. */
async function exchange(env: RpcEnv, uri: string, timeoutMs: number, say: Talk): Promise<Answer | null> {
  const endsMs = performance.now() + timeoutMs;
  // An ask of no time at all is refused as an argument; it is to end as a timeout.
  const left = (): { timeoutMs: number } => ({ timeoutMs: Math.max(1, Math.ceil(endsMs - performance.now())) });
  let lost: RpcError | null = null;
  env.on("deadLetter", ({ error }) => {
    lost ??= error;
  });
  const ref = await env.setupEndpointRefByURI<RpcUntyped>(uri, left());
  for (;;) {
    const said = say(ref, ref.with(left()));
    if (typeof said !== "boolean") return { value: await said };
    if (said) break;
    await ref.ready(left());
  }
  // Its answer comes on the same connection, after the message.
  await env.setupEndpointRefByURI(uri, left());
  if (lost !== null) throw lost as RpcError;
  return null;
}

function jsonOf(error: RpcError): object {
  const { code, message, endpoint, address, retryable, maybeExecuted, cause } = error;
  return {
    code,
    message,
    endpoint: endpoint ?? null,
    address: address ?? null,
    retryable,
    maybeExecuted,
    cause: cause instanceof Error ? toJsonValue(cause) : null,
    advice: adviceOf(error),
  };
}
