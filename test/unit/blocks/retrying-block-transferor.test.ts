/**
 * Goal: what is tried again, how often and after what wait, as Spark's RetryingBlockTransferorSuite demands it.
 * Method: attempts answer from a script, one entry for each; two retries, and a wait that is passed by hand.
 */
import { RpcError } from "ringpost";
import {
  BLOCK_FETCH_ERROR_HANDLER,
  type BlockFetchingListener,
  type BlockTransferStarter,
  RetryingBlockTransferor,
  type RetryingBlockTransferorOptions,
  STALE_SHUFFLE_BLOCK_FETCH,
} from "ringpost/blocks";
import { describe, expect, test } from "vitest";
import { bufferOf, RecordingListener } from "../../fixtures/block-peer.js";
import { ManualClock } from "../../fixtures/manual-clock.js";

const WAIT_MS = 5_000;
const IO = new RpcError("ERR_RPC_CONNECTION_LOST", "Connection from a:1 closed");
const LAST_WORD = new RpcError("ERR_RPC_STREAM", "java.lang.RuntimeException: no", { retryable: false });

type Outcome = "ok" | Error;
/** What an attempt tells of its blocks, in order; an error by itself is thrown. */
type Attempt = Readonly<Record<string, Outcome>> | Error;

class Script implements BlockTransferStarter {
  readonly asked: (readonly string[])[] = [];
  readonly listeners: BlockFetchingListener[] = [];
  readonly #attempts: readonly Attempt[];

  constructor(attempts: readonly Attempt[]) {
    this.#attempts = attempts;
  }

  createAndStart(blockIds: readonly string[], listener: BlockFetchingListener): void {
    const attempt = this.#attempts[this.asked.length];
    if (attempt === undefined) throw new Error(`the script has no attempt ${this.asked.length}`);
    this.asked.push(blockIds);
    this.listeners.push(listener);
    if (attempt instanceof Error) throw attempt;
    for (const [blockId, outcome] of Object.entries(attempt)) tell(listener, blockId, outcome);
  }
}

function tell(listener: BlockFetchingListener | undefined, blockId: string, outcome: Outcome): void {
  if (outcome === "ok") listener?.onBlockFetchSuccess(blockId, bufferOf(blockId));
  else listener?.onBlockFetchFailure(blockId, outcome);
}

function transfer(
  blockIds: readonly string[],
  attempts: readonly Attempt[],
  more: Partial<RetryingBlockTransferorOptions> = {},
) {
  const clock = new ManualClock();
  const script = new Script(attempts);
  const listener = new RecordingListener();
  const conf = { maxRetries: 2, retryWaitMs: WAIT_MS };
  const transferor = new RetryingBlockTransferor({ conf, starter: script, blockIds, listener, clock, ...more });
  transferor.start();
  return { clock, script, listener, transferor };
}

/** Passes all waits. */
function transferred(
  blockIds: readonly string[],
  attempts: readonly Attempt[],
  more: Partial<RetryingBlockTransferorOptions> = {},
) {
  const all = transfer(blockIds, attempts, more);
  for (let retry = 0; retry < attempts.length; retry++) all.clock.advance(WAIT_MS);
  expect(all.script.asked.length).toBe(attempts.length);
  expect(all.clock.timerCount).toBe(0);
  expect(all.transferor.outstandingCount).toBe(0);
  return all;
}

describe("RetryingBlockTransferorSuite", () => {
  test("[net RetryingBlockTransferorSuite.testNoFailures] what comes is not asked for again", () => {
    const { listener } = transferred(["b0", "b1"], [{ b0: "ok", b1: "ok" }]);
    expect(listener.outcomes).toEqual(["b0 ok", "b1 ok"]);
  });

  test("[net RetryingBlockTransferorSuite.testUnrecoverableFailure] a peer's refusal is its last word", () => {
    const { listener } = transferred(["b0", "b1"], [{ b0: LAST_WORD, b1: "ok" }]);
    expect(listener.outcomes).toEqual(["b0 ERR_RPC_STREAM", "b1 ok"]);
  });

  test("[net RetryingBlockTransferorSuite.testSingleIOExceptionOnFirst] an I/O error takes all blocks back", () => {
    const { listener, script } = transferred(
      ["b0", "b1"],
      [
        { b0: IO, b1: "ok" },
        { b0: "ok", b1: "ok" },
      ],
    );
    expect(script.asked).toEqual([
      ["b0", "b1"],
      ["b0", "b1"],
    ]);
    expect(listener.outcomes).toEqual(["b0 ok", "b1 ok"]);
  });

  test("[net RetryingBlockTransferorSuite.testSingleIOExceptionOnSecond] not those that have come", () => {
    const { listener, script } = transferred(["b0", "b1"], [{ b0: "ok", b1: IO }, { b1: "ok" }]);
    expect(script.asked).toEqual([["b0", "b1"], ["b1"]]);
    expect(listener.outcomes).toEqual(["b0 ok", "b1 ok"]);
  });

  test("[net RetryingBlockTransferorSuite.testTwoIOExceptions] there are two retries", () => {
    const { listener, script } = transferred(["b0", "b1"], [{ b0: IO, b1: IO }, { b0: "ok", b1: IO }, { b1: "ok" }]);
    expect(script.asked).toEqual([["b0", "b1"], ["b0", "b1"], ["b1"]]);
    expect(listener.outcomes).toEqual(["b0 ok", "b1 ok"]);
  });

  test("[net RetryingBlockTransferorSuite.testThreeIOExceptions] and no third one", () => {
    const { listener } = transferred(["b0", "b1"], [{ b0: IO, b1: IO }, { b0: "ok", b1: IO }, { b1: IO }]);
    expect(listener.outcomes).toEqual(["b0 ok", "b1 ERR_RPC_CONNECTION_LOST"]);
    expect(listener.told.at(-1)?.[1]).toBe(IO);
  });

  test("[net RetryingBlockTransferorSuite.testRetryAndUnrecoverable] a refusal in a later attempt", () => {
    const { listener, script } = transferred(
      ["b0", "b1", "b2"],
      [{ b0: IO, b1: LAST_WORD, b2: "ok" }, { b0: "ok", b1: LAST_WORD, b2: IO }, { b2: "ok" }],
    );
    expect(script.asked).toEqual([["b0", "b1", "b2"], ["b0", "b1", "b2"], ["b2"]]);
    expect(listener.outcomes).toEqual(["b0 ok", "b1 ERR_RPC_STREAM", "b2 ok"]);
  });

  test("[net RetryingBlockTransferorSuite.testRetryInitiationFailure] without retries a block fails at once", () => {
    const { script, listener, transferor, clock } = transfer(["b0", "b1"], [{}]);
    transferor.stop();
    tell(script.listeners[0], "b0", IO);
    tell(script.listeners[0], "b1", "ok");
    expect(listener.outcomes).toEqual(["b0 ERR_RPC_CONNECTION_LOST", "b1 ok"]);
    expect(clock.timerCount).toBe(0);
  });

  test("[net RetryingBlockTransferorSuite.testSaslTimeoutFailure] a proof that fails is not retried", () => {
    const { listener } = transferred(["b0"], [new RpcError("ERR_RPC_AUTH", "the secret is another one")]);
    expect(listener.outcomes).toEqual(["b0 ERR_RPC_AUTH"]);
  });
});

describe("an attempt", () => {
  test("begins when the wait is over, and not before", () => {
    const { clock, script, transferor } = transfer(["b0"], [{ b0: IO }, { b0: "ok" }]);
    clock.advance(WAIT_MS - 1);
    expect([script.asked.length, transferor.retryCount, transferor.outstandingCount]).toEqual([1, 1, 1]);
    clock.advance(1);
    expect([script.asked.length, transferor.retryCount, transferor.outstandingCount]).toEqual([2, 1, 0]);
  });

  test("that cannot begin is retried as well, thrown or rejected", async () => {
    const refused = new RpcError("ERR_RPC_CONNECT", "connect ECONNREFUSED");
    const { listener } = transferred(["b0", "b1"], [refused, refused, { b0: "ok", b1: "ok" }]);
    expect(listener.outcomes).toEqual(["b0 ok", "b1 ok"]);

    const clock = new ManualClock();
    const heard = new RecordingListener();
    let attempts = 0;
    const starter: BlockTransferStarter = {
      createAndStart: async () => {
        attempts++;
        throw refused;
      },
    };
    const conf = { maxRetries: 2, retryWaitMs: WAIT_MS };
    new RetryingBlockTransferor({ conf, starter, blockIds: ["b0", "b1"], listener: heard, clock }).start();
    for (let retry = 0; retry < 2; retry++) {
      await clock.timersSet(1);
      clock.advance(WAIT_MS);
    }
    expect(await heard.hasHeard(2)).toEqual([
      ["b0", refused],
      ["b1", refused],
    ]);
    expect(attempts).toBe(3);
  });

  test("that has been given up is not heard any more", () => {
    const { clock, script, listener } = transfer(["b0", "b1"], [{ b0: IO }, {}]);
    const [first] = script.listeners;
    tell(first, "b1", "ok");
    tell(first, "b0", LAST_WORD);
    clock.advance(WAIT_MS);
    tell(first, "b1", "ok");
    tell(first, "b0", IO);
    expect(listener.told).toEqual([]);
    const [, second] = script.listeners;
    tell(second, "b1", "ok");
    tell(second, "b0", "ok");
    expect(listener.outcomes).toEqual(["b1 ok", "b0 ok"]);
    expect(clock.timerCount).toBe(0);
  });

  test("that tells of a block again, or of one that nobody asked for, tells nothing", () => {
    const { script, listener } = transfer(["b0", "b0", "b1"], [{ b0: "ok" }]);
    for (const outcome of ["ok", LAST_WORD, IO] as const) tell(script.listeners[0], "b0", outcome);
    for (const outcome of ["ok", LAST_WORD, IO] as const) tell(script.listeners[0], "b7", outcome);
    expect(script.asked).toEqual([["b0", "b1"]]);
    expect(listener.outcomes).toEqual(["b0 ok"]);
  });

  test("that throws after it has told of some fails the others alone", () => {
    const clock = new ManualClock();
    const listener = new RecordingListener();
    const starter: BlockTransferStarter = {
      createAndStart: (_blockIds, heard) => {
        tell(heard, "b0", "ok");
        throw LAST_WORD;
      },
    };
    const conf = { maxRetries: 2, retryWaitMs: WAIT_MS };
    new RetryingBlockTransferor({ conf, starter, blockIds: ["b0", "b1"], listener, clock }).start();
    expect(listener.outcomes).toEqual(["b0 ok", "b1 ERR_RPC_STREAM"]);
  });
});

test("without retries the first error is the last", () => {
  const { listener } = transferred(["b0"], [{ b0: IO }], { conf: { maxRetries: 0, retryWaitMs: WAIT_MS } });
  expect(listener.outcomes).toEqual(["b0 ERR_RPC_CONNECTION_LOST"]);
});

test("a retry that is waited for ends with stop, and fails what is outstanding", () => {
  const { listener, transferor, clock } = transfer(["b0", "b1"], [{ b0: "ok", b1: IO }]);
  expect(clock.timerCount).toBe(1);
  transferor.stop();
  expect(listener.outcomes).toEqual(["b0 ok", "b1 ERR_RPC_CONNECTION_LOST"]);
  expect(clock.timerCount).toBe(0);
});

test("an error handler may refuse a retry, and a line in the log", () => {
  const told: string[] = [];
  const note = (_fields: object, text: string): void => void told.push(text);
  const logger = { debug: note, info: note, warn: note, error: note };
  const stale = new RpcError("ERR_RPC_CONNECTION_LOST", STALE_SHUFFLE_BLOCK_FETCH);
  const more = { errorHandler: BLOCK_FETCH_ERROR_HANDLER, logger };
  const { listener } = transferred(["b0"], [{ b0: stale }], more);
  expect(listener.outcomes).toEqual(["b0 ERR_RPC_CONNECTION_LOST"]);
  expect(told).toEqual([]);
  transferred(["b0"], [{ b0: IO }, { b0: LAST_WORD }], more);
  expect(told).toEqual(["a transfer of blocks is tried again", "blocks could not be transferred"]);
});

test("a listener that throws does not keep the others from their blocks", () => {
  const heard: string[] = [];
  const listener: BlockFetchingListener = {
    onBlockFetchSuccess: (blockId) => {
      heard.push(`${blockId} ok`);
      throw new Error("mine");
    },
    onBlockFetchFailure: (blockId) => {
      heard.push(`${blockId} failed`);
      throw new Error("mine");
    },
  };
  const { transferor } = transfer(["b0", "b1", "b2"], [{ b0: "ok", b1: IO }], { listener });
  transferor.stop();
  expect(heard).toEqual(["b0 ok", "b1 failed", "b2 failed"]);
});
