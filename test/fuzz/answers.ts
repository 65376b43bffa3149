/**
 * Fuzzes answers: a peer answers the asks of a process (asker.ts) with values and failures of every shape, most of them a
 * little wrong: fields of other kinds, errors inside errors, bytes changed.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Packr } from "msgpackr";
import {
  OneForOneStreamManager,
  RpcHandler,
  type RpcReply,
  type StreamManager,
  type TransportClient,
  TransportContext,
} from "ringpost/network";
import type { Random } from "../fixtures/random.js";
import { pick } from "./streams.js";

const packr = new Packr({ useRecords: false });
/** Of docs/protocol.md: codecs of payloads, and what stands before the kinds of values that are ours. */
const Payload = { EMPTY: 0, MSGPACK: 1, BYTES: 2 } as const;
const VERSION = 1;
const EXTENSION = Buffer.from([0xd4, 0x76, 0x00]);
const KINDS_MAX = 20;
/** The last answers, of which one was the one that did it. */
const KEPT = 256;

/** An array that stands behind our extension. */
class Special {
  readonly parts: readonly unknown[];
  constructor(parts: readonly unknown[]) {
    this.parts = parts;
  }
}

function pack(value: unknown): Buffer {
  if (value instanceof Special) return Buffer.concat([EXTENSION, pack(value.parts)]);
  if (Array.isArray(value)) return Buffer.concat([Buffer.from([0xdc, 0, value.length]), ...value.map(pack)]);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return packr.pack(value);
  const entries = Object.entries(value).flat().map(pack);
  return Buffer.concat([Buffer.from([0xde, 0, entries.length / 2]), ...entries]);
}

const MUTE = { toString: 1, valueOf: 1 };
const LEAVES: readonly unknown[] = [0, -1, 1.5, 2n ** 60n, true, false, null, undefined, "", "text", "__proto__", MUTE];
const CODES = ["ERR_RPC_HANDLER", "ERR_RPC_TIMEOUT", "ERR_RPC_NO_REPLY", "ERR_RPC_CONNECT", "ERR_X", "toString"];
const FIELDS = ["code", "message", "name", "stack", "cause", "retryable", "remote", "then", "toString", "errors", "x"];
/** Those that an error may have beside its parts. */
const SOUND_FIELDS = ["code", "retryable", "maybeExecuted", "remote", "then", "toString", "errors", "x"];

function anything(random: Random, depth: number): unknown {
  const some = (): unknown => anything(random, depth + 1);
  const many = (): unknown[] => Array.from({ length: random.integer(0, 3) }, some);
  switch (depth > 4 ? 0 : random.integer(0, 9)) {
    case 1:
      return many();
    case 2:
      return Object.fromEntries(many().map((value) => [pick(random, FIELDS), value]));
    case 3: {
      const wellFormed = pick(random, [
        [1, ...many()],
        [2, 5],
        [7, some(), some()],
        [8, "__proto__", some()],
      ]);
      return new Special(random.next() < 0.9 ? wellFormed : [random.integer(0, KINDS_MAX), ...many()]);
    }
    case 4:
      return Buffer.alloc(random.integer(0, 16), 7);
    case 5:
      return error(random, depth);
    default:
      return pick(random, LEAVES);
  }
}

/** As it is, or now and then anything. */
function likely<T>(random: Random, value: T, depth: number): unknown {
  return random.next() < 0.97 ? value : anything(random, depth + 1);
}

const ERROR_KIND = 3;

function error(random: Random, depth: number): Special {
  const name = pick(random, ["Error", "TypeError", "RpcError", "AggregateError", "Mine"]);
  const fields = Array.from({ length: random.integer(0, 3) }, () => [
    likely(random, pick(random, random.next() < 0.9 ? SOUND_FIELDS : FIELDS), depth),
    random.next() < 0.3 ? pick(random, CODES) : anything(random, depth + 1),
  ]);
  const parts = [name, "its message", "its stack", random.next() < 0.5, anything(random, depth + 1)];
  return new Special([ERROR_KIND, ...parts.map((part) => likely(random, part, depth)), ...fields.flat()]);
}

function failure(random: Random): unknown {
  const parts = [pick(random, CODES), "what went wrong", error(random, 0), true, false].slice(0, random.integer(2, 5));
  return likely(
    random,
    parts.map((part) => likely(random, part, 0)),
    0,
  );
}

/** The body of an RpcResponse. */
export function answerOf(random: Random): Buffer {
  const failed = random.next() < 0.6;
  const codec = likelyCodec(random);
  const payload = codec === Payload.EMPTY ? Buffer.alloc(0) : pack(failed ? failure(random) : anything(random, 0));
  const answer = Buffer.concat([Buffer.from([VERSION, failed ? 1 : 0, codec, 0]), payload]);
  if (random.next() < 0.8) return answer;
  for (let count = random.integer(1, 3); count > 0; count--) {
    answer[random.integer(0, answer.length - 1)] = random.integer(0, 255);
  }
  return random.next() < 0.2 ? answer.subarray(0, random.integer(0, answer.length)) : answer;
}

function likelyCodec(random: Random): number {
  const chance = random.next();
  if (chance < 0.94) return Payload.MSGPACK;
  return chance < 0.97 ? Payload.BYTES : Payload.EMPTY;
}

class AnsweringHandler extends RpcHandler {
  readonly #streams = new OneForOneStreamManager(() => 0);
  readonly #random: Random;
  readonly #corpus: Buffer[];
  readonly last: Buffer[] = [];
  count = 0;

  constructor(random: Random, corpus: readonly Buffer[]) {
    super();
    this.#random = random;
    this.#corpus = [...corpus];
  }

  receive(_client: TransportClient, message: Uint8Array, reply: RpcReply): void {
    if (Buffer.from(message).includes("endpoint-verifier")) {
      reply.onSuccess(Buffer.concat([Buffer.from([VERSION, 0, Payload.MSGPACK, 0]), pack(true)]));
      return;
    }
    const answer = this.#corpus.pop() ?? answerOf(this.#random);
    this.last.push(answer);
    if (this.last.length > KEPT) this.last.shift();
    this.count++;
    reply.onSuccess(answer);
  }

  override receiveOneWay(): void {}

  getStreamManager(): StreamManager {
    return this.#streams;
  }
}

export interface AnswersReport {
  readonly text: string;
  readonly problems: readonly string[];
  /** What was answered last, if there were problems. */
  readonly last: readonly Buffer[];
}

/** @param corpus Answers that are given first. */
export async function fuzzAnswers(random: Random, ms: number, corpus: readonly Buffer[]): Promise<AnswersReport> {
  const handler = new AnsweringHandler(random, corpus);
  const server = await new TransportContext({ rpcHandler: handler }).createServer();
  const program = fileURLToPath(new URL("./asker.js", import.meta.url));
  const asker = spawn(process.execPath, [program, String(server.port)], { stdio: ["pipe", "pipe", "inherit"] });
  asker.stdin.on("error", () => {});
  let said = "";
  asker.stdout.on("data", (data) => {
    said += data;
  });
  const exited = once(asker, "close");
  const timer = setTimeout(() => asker.stdin.end(), ms);
  const patience = setTimeout(() => asker.kill("SIGKILL"), ms + 60_000);
  const [code, signal] = (await exited) as [number | null, string | null];
  clearTimeout(timer);
  clearTimeout(patience);
  await server.close();
  const { ends, problems } = (said === "" ? { ends: {}, problems: [] } : JSON.parse(said)) as {
    ends: Record<string, number>;
    problems: string[];
  };
  if (code !== 0) problems.push(`the process that asked ended: ${code ?? signal}`);
  const settled = Object.values(ends).reduce((sum, count) => sum + count, 0);
  const refused = (ends.ERR_RPC_SERIALIZATION ?? 0) + (ends.ERR_RPC_PROTOCOL ?? 0);
  const share = ((100 * (settled - refused)) / Math.max(1, settled)).toFixed(1);
  const list = Object.entries(ends).map(([end, count]) => `${end} ${count}`);
  const text = `answers: ${handler.count}, ${share} % of answers decoded: ${list.join(", ")}`;
  return { text, problems, last: problems.length > 0 ? handler.last : [] };
}
