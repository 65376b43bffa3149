/** What the endpoints under load do, whatever class they have. */
import type { RpcCallContext, RpcContext, RpcEndpointRef, RpcUntyped } from "ringpost";
import { markBegun, markEnded } from "./marks.js";

export type SoakRef = RpcEndpointRef<RpcUntyped>;

export type SoakAsk =
  | { readonly op: "echo"; readonly value: unknown }
  | { readonly op: "later"; readonly value: unknown; readonly ms: number }
  | { readonly op: "spin"; readonly ms: number }
  | { readonly op: "defer"; readonly value: unknown }
  | { readonly op: "throw" }
  | { readonly op: "never" }
  | { readonly op: "exit"; readonly code: number }
  | { readonly op: "throwOutside" }
  | { readonly op: "rejectUnhandled" }
  | { readonly op: "relay"; readonly refs: readonly SoakRef[]; readonly message: SoakAsk }
  | { readonly op: "forward"; readonly ref: SoakRef; readonly ids: readonly number[] };

export interface SoakSend {
  readonly id: number;
  /** `none`: a broadcast, which many handle. */
  readonly op: "mark" | "markLater" | "throw" | "none";
  readonly bytes?: Uint8Array;
}

export function soakAnswer(message: SoakAsk, context: RpcCallContext<unknown>): unknown {
  switch (message.op) {
    case "echo":
      return message.value;
    case "later":
      return later(message.ms, message.value);
    case "spin":
      return spin(message.ms, context);
    case "defer":
      setImmediate(() => answer(context, message.value));
      return context.defer();
    case "throw":
      throw new Error("told to throw");
    case "never":
      return untilAborted(context.signal);
    case "exit":
      return process.exit(message.code);
    case "throwOutside":
      setImmediate(() => {
        throw new Error("thrown outside of a handler");
      });
      return new Promise(() => {});
    case "rejectUnhandled":
      void Promise.reject(new Error("nobody handles this"));
      return new Promise(() => {});
    case "relay":
      return relay(message.refs, message.message, context);
    case "forward":
      return forward(message.ref, message.ids);
  }
}

export function soakReceive(message: SoakSend): void | Promise<void> {
  if (message.op === "none") return;
  markBegun(message.id);
  if (message.op === "throw") throw new Error("told to throw");
  if (message.op === "markLater") return endLater(message.id);
  markEnded(message.id);
}

async function endLater(id: number): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
  markEnded(id);
}

/** It may have been aborted before the handler came to look. */
async function untilAborted(signal: AbortSignal): Promise<string> {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  return "aborted";
}

function later(ms: number, value: unknown): Promise<unknown> {
  return new Promise((resolve) => setTimeout(() => resolve(value), ms));
}

function spin(ms: number, context: RpcContext): boolean {
  const endsMs = performance.now() + ms;
  while (performance.now() < endsMs && !context.cancelled);
  return context.cancelled;
}

/** The endpoint may have stopped meanwhile, and the asker may have gone. */
function answer(context: RpcCallContext<unknown>, value: unknown): void {
  try {
    context.reply(value);
  } catch {
    // Answered by the engine: ERR_RPC_ALREADY_REPLIED.
  }
}

/** Asks the first reference to relay to the rest, the last to answer. */
function relay(refs: readonly SoakRef[], message: SoakAsk, context: RpcContext): Promise<unknown> {
  const [next, ...rest] = refs as readonly [SoakRef, ...SoakRef[]];
  const inner: SoakAsk = rest.length === 0 ? message : { op: "relay", refs: rest, message };
  return next.ask(inner, { timeoutMs: context.remainingMs, signal: context.signal });
}

/** Sends one message for each id; those that were accepted are in the answer. */
function forward(ref: SoakRef, ids: readonly number[]): number[] {
  return ids.filter((id) => ref.send({ id, op: "mark" } satisfies SoakSend));
}
