/** What all parts of an env's engine are told of its options and conf. Plain data: message loops get a copy. Types only. */
import type { RpcTimeout } from "../common/rpc-conf.js";

/** What may wait behind full rings. */
export interface SpillSettings {
  readonly messagesMax: number;
  readonly bytesMax: number;
  /** Behind all rings of the env. */
  readonly totalBytesMax: number;
}

/** What follows from crashes. */
export interface CrashSettings {
  /** An endpoint that is to blame for so many within `windowMs` is FAILED. */
  readonly blamedMax: number;
  readonly windowMs: number;
  /** Before what failed is tried again: the first time, and at most. */
  readonly waitMs: number;
  readonly waitMsMax: number;
}

export interface EngineSettings {
  /** Of an ask that names no timeout of its own, and what set it. */
  readonly askTimeout: RpcTimeout;
  /** Of a look-up that names no timeout of its own. */
  readonly lookupTimeout: RpcTimeout;
  /** Of one encoded message. */
  readonly messageBytesMax: number;
  /** Of each step of an endpoint's start. */
  readonly startTimeoutMs: number;
  readonly spill: SpillSettings;
  readonly crashes: CrashSettings;
}
