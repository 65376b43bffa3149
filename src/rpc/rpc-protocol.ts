/**
 * How a definition becomes a typed reference. Types only. A definition is written down in one of five ways, and all five
 * lead to the same pairs of message and reply: `typeof service`, `Counter`, `typeof Counter`,
 * `typeof import("./counter.js")`, and `RpcMessages<…>` for a protocol without a class.
 *
 * Everything here is structural, so that this file needs neither the endpoint classes nor contexts nor references, all
 * of which need it.
 */
import type { REF_BRAND } from "./ref-brand.js";

declare const deferred: unique symbol;
/** Stands in types only. */
export declare const ownThreads: unique symbol;
declare const service: unique symbol;
declare const replyType: unique symbol;
declare const untyped: unique symbol;

type Fn = (...inputs: never) => unknown;

// ── Definitions ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Any message, any method, replies unknown: for tools that learn at run time what they talk to. */
export interface RpcUntyped {
  readonly [untyped]: true;
}

/** A service as `defineService` and `defineStatefulService` make it. */
export interface RpcService<Methods = unknown, Args = unknown> {
  readonly [service]: { readonly methods: Methods; readonly args: Args };
}

/** What `defer` returns: the loop knows it by identity, and takes it for no reply. */
export interface RpcDeferred {
  readonly [deferred]: true;
}

/** Marks the classes that run on threads of their own, for the compiler only: nothing is there. */
export interface OwnThreads {
  readonly [ownThreads]: true;
}

/** What an endpoint class and RpcMessages have in common. */
interface AnyMessages {
  readonly receive: (message: never, context: never) => unknown;
  readonly receiveAndReply: (message: never, context: never) => unknown;
}
type AnyClass = abstract new (args: never) => AnyMessages;

/** What may stand as the type argument of a reference. */
export type RpcDefinition =
  | RpcUntyped
  | RpcService
  | AnyMessages
  | AnyClass
  | { readonly default: RpcService | AnyClass };

/** The instance type or service behind a definition: a module's default export, a class's instance. */
export type RpcTarget<T> = T extends { readonly default: infer D }
  ? RpcTarget<D>
  : T extends abstract new (
        args: never,
      ) => infer I
    ? I
    : T;

/** What the constructor, or the function of a stateful service, wants; void when it wants nothing. */
export type ArgsOf<T> = T extends { readonly default: infer D }
  ? ArgsOf<D>
  : T extends RpcService<unknown, infer A>
    ? A
    : T extends abstract new (
          ...args: infer P
        ) => unknown
      ? P extends []
        ? void
        : P[0]
      : unknown;

// ── Messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A message that names its reply: with RpcAsk<{ op: "get" }, number>, ask({ op: "get" }) is a Promise<number>. */
export type RpcAsk<Message, Reply> = Message & { readonly [replyType]?: [Reply] };

/** The reply that a message names; never, if it names none. */
export type RpcReply<Message> = Message extends { readonly [replyType]?: [infer R] } ? R : never;

/** A compiler error with a text. */
export interface RpcTypeError<Text extends string> {
  readonly [untyped]: Text;
}

export interface NotUnderstoodByThisEndpoint {
  readonly [untyped]: false;
}

/** `unknown` for what may run on loop 0, else a text that says why it may not. */
export type NotIsolated<T> = T extends OwnThreads
  ? RpcTypeError<"an isolated endpoint has its own threads: pass the URL of its module">
  : unknown;

// Up to four overloads of a handler, read as [message, reply] pairs.
type Pairs<F> = F extends {
  (...a: infer A1): infer R1;
  (...a: infer A2): infer R2;
  (...a: infer A3): infer R3;
  (...a: infer A4): infer R4;
}
  ? Pair<A1, R1> | Pair<A2, R2> | Pair<A3, R3> | Pair<A4, R4>
  : never;
type Pair<A extends readonly unknown[], R> = [
  A extends [] ? unknown : A[0],
  A extends [unknown, Answerable<infer C>] ? (unknown extends C ? Returned<R> : C) : Returned<R>,
];
/** The part of a call's context that says what may be answered. */
interface Answerable<Reply> {
  reply(value: Reply): void;
}
type Returned<R> = Exclude<Awaited<R>, RpcDeferred>;

type AskPairs<T> = T extends RpcUntyped
  ? [unknown, unknown]
  : RpcTarget<T> extends { receiveAndReply: infer F }
    ? Pairs<F>
    : never;

/** The messages that `ask` takes. */
export type AskOf<T> = AskPairs<T>[0];

/** The messages that `send` takes. */
export type SendOf<T> = T extends RpcUntyped
  ? unknown
  : RpcTarget<T> extends { receive: infer F }
    ? Pairs<F>[0]
    : never;

/** What `ask` of that message resolves to. */
export type ReplyTo<T, M> = M extends unknown ? ReplyIn<AskPairs<T>, M> : never;
type ReplyIn<P, M> = P extends [infer Q, infer R]
  ? Q extends unknown
    ? M extends Q
      ? Arrived<typeof replyType extends keyof Q ? RpcReply<Q> : R>
      : never
    : never
  : never;

/** The message itself, if it has no property that its own shape does not know. */
export type NoExcess<All, M> = [All] extends [never]
  ? NotUnderstoodByThisEndpoint
  : [Exclude<keyof M, Keys<Matching<All, M>>>] extends [never]
    ? M
    : Matching<All, M>;
type Matching<All, M> = All extends unknown ? (M extends All ? All : never) : never;
type Keys<T> = T extends unknown ? keyof T : never;

// ── Methods ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The methods of a service as a caller sees them: all async. An async one passes untouched, overloads and all. */
export type RpcCalls<T> = T extends RpcUntyped
  ? { readonly [method: string]: (...inputs: unknown[]) => Promise<unknown> }
  : RpcTarget<T> extends RpcService<infer M>
    ? { readonly [K in keyof M]: RpcCall<M[K]> }
    : NotUnderstoodByThisEndpoint;

/** The same methods one-way: true means accepted. */
export type RpcCasts<T> = T extends RpcUntyped
  ? { readonly [method: string]: (...inputs: unknown[]) => boolean }
  : RpcTarget<T> extends RpcService<infer M>
    ? { readonly [K in keyof M]: M[K] extends (...inputs: infer A) => unknown ? (...inputs: A) => boolean : M[K] }
    : NotUnderstoodByThisEndpoint;

type RpcCall<F> = F extends (...inputs: infer A) => infer R
  ? [R] extends [Promise<infer V>]
    ? Same<V, Plain<V>> extends true
      ? F
      : (...inputs: A) => Promise<Plain<V>>
    : (...inputs: A) => Promise<Arrived<Awaited<R>>>
  : F;

/** The methods of a service, or for each that cannot be one a type that says why. */
export type Checked<M> = keyof Problems<M> extends never ? M : Problems<M>;
type Problems<M> = { [K in keyof M as [Problem<K, M[K]>] extends [never] ? never : K]: Problem<K, M[K]> };
type Problem<K, F> = K extends "then" | "constructor" | "__proto__"
  ? RpcTypeError<"a method may not have this name">
  : F extends (...inputs: infer A) => unknown
    ? InputProblem<A[number]>
    : RpcTypeError<"a service holds functions only">;
/** A context, by what only a context has. */
interface AnyContext {
  readonly signal: AbortSignal;
  readonly cancelled: boolean;
  readonly remainingMs: number;
}
type InputProblem<I> = unknown extends I
  ? never
  : [Extract<I, AnyContext>] extends [never]
    ? [Extract<I, Fn>] extends [never]
      ? never
      : RpcTypeError<"functions cannot travel: take an RpcEndpointRef and call back">
    : RpcTypeError<"wrap it: withContext((context, …inputs) => …)">;

// ── Values ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What a value is after it travelled: methods are gone, a Buffer is a Uint8Array, bytes are never shared, a ref is one. */
export type Arrived<T> = Same<T, Plain<T>> extends true ? T : Plain<T>;
interface AnyRef {
  readonly [REF_BRAND]: true;
}
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
type Plain<T> = T extends Uint8Array
  ? Uint8Array<ArrayBuffer>
  : T extends string | number | bigint | boolean | null | undefined | void | Date | Error | ArrayBufferView | AnyRef
    ? T
    : T extends Map<infer K, infer V>
      ? Map<Plain<K>, Plain<V>>
      : T extends Set<infer V>
        ? Set<Plain<V>>
        : T extends readonly unknown[]
          ? { [I in keyof T]: Plain<T[I]> }
          : T extends Fn
            ? never
            : T extends object
              ? { [K in keyof T as T[K] extends Fn ? never : K]: Plain<T[K]> }
              : T;
