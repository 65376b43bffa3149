/**
 * Goal: a store keeps blocks in the same way, wherever they are.
 * Method: one suite, run by each store. Uploads go through the callback that a server would feed, and wait for it as one does.
 */

import type { BlockDataManager } from "ringpost/blocks";
import { NioManagedBuffer, type StreamCallbackWithID } from "ringpost/network";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { printedRandom } from "../fixtures/random.js";
import { failureOf } from "./ask-send.contract.js";

export type Store = BlockDataManager & Required<Pick<BlockDataManager, "removeBlocks">>;

export interface StoreHarness {
  readonly store: Store;
  /** Whether nothing is left of what is not a block. */
  clean(): Promise<boolean>;
  close(): Promise<void>;
}

const NOTHING = new Uint8Array(0);

async function bytesOf(store: BlockDataManager, blockId: string): Promise<Uint8Array> {
  const buffer = await store.getLocalBlockData(blockId);
  const bytes = Buffer.from(await buffer.bytes());
  expect(buffer.size).toBe(bytes.length);
  buffer.release();
  return bytes;
}

/** As a server does: the next piece when the last one was taken, each gone when it was. */
export async function feed(upload: StreamCallbackWithID, pieces: readonly Uint8Array[]): Promise<void> {
  for (const piece of pieces) {
    const view = new Uint8Array(piece);
    await upload.onData(upload.getID(), view);
    view.fill(0xee);
  }
}

async function stream(store: Store, blockId: string, pieces: readonly Uint8Array[]): Promise<void> {
  const upload = store.putBlockDataAsStream(blockId, NOTHING);
  await feed(upload, pieces);
  await upload.onComplete(upload.getID());
}

const put = (store: Store, blockId: string, bytes: Uint8Array) =>
  store.putBlockData(blockId, new NioManagedBuffer(bytes), NOTHING);

export function blockStoreContract(form: string, harnessOf: () => Promise<StoreHarness>): void {
  describe(form, () => {
    let harness: StoreHarness;
    let store: Store;

    beforeEach(async () => {
      harness = await harnessOf();
      ({ store } = harness);
    });

    afterEach(async () => {
      expect(await harness.clean()).toBe(true);
      await harness.close();
    });

    test("a block that was put is there", async () => {
      expect(await put(store, "b1", Buffer.from("one"))).toBe(true);
      expect(await put(store, "rdd_0_1", Buffer.from("two"))).toBe(true);
      expect(await bytesOf(store, "b1")).toEqual(Buffer.from("one"));
      expect(await bytesOf(store, "rdd_0_1")).toEqual(Buffer.from("two"));
    });

    test("an empty block is a block, however it came", async () => {
      await put(store, "b1", NOTHING);
      await stream(store, "b2", []);
      expect(await bytesOf(store, "b1")).toEqual(Buffer.alloc(0));
      expect(await bytesOf(store, "b2")).toEqual(Buffer.alloc(0));
    });

    test("a block of several parts is one", async () => {
      const parts = [Buffer.from("a"), Buffer.from("bc"), Buffer.from("def")];
      await store.putBlockData("b1", new NioManagedBuffer(parts), NOTHING);
      expect(await bytesOf(store, "b1")).toEqual(Buffer.from("abcdef"));
    });

    test("what comes as a stream is there as it came, whatever its pieces", async () => {
      const random = printedRandom(`block store, ${form}`);
      for (let round = 0; round < 8; round++) {
        const pieces: Uint8Array[] = [];
        for (let count = random.integer(1, 12); count > 0; count--) {
          const piece = Buffer.alloc(random.logarithmic(1, 400_000));
          for (let at = 0; at < piece.length; at += 251) piece[at] = random.integer(0, 255);
          pieces.push(piece);
        }
        await stream(store, `b${round}`, pieces);
        expect(Buffer.compare(await bytesOf(store, `b${round}`), Buffer.concat(pieces))).toBe(0);
      }
    });

    test("a stream is there when it is complete, and not before", async () => {
      const upload = store.putBlockDataAsStream("b1", NOTHING);
      expect(upload.getID()).toBe("b1");
      await feed(upload, [Buffer.from("half")]);
      expect(await failureOf((async () => store.getLocalBlockData("b1"))())).toMatchObject({ code: "ERR_RPC_STREAM" });
      await upload.onComplete("b1");
      expect(await bytesOf(store, "b1")).toEqual(Buffer.from("half"));
    });

    test("nothing is left of a stream that ended early", async () => {
      const upload = store.putBlockDataAsStream("b1", NOTHING);
      await feed(upload, [Buffer.alloc(1_000_000, 1)]);
      await upload.onFailure("b1", new Error("the connection has ended"));
      expect(await failureOf((async () => store.getLocalBlockData("b1"))())).toMatchObject({ code: "ERR_RPC_STREAM" });
      expect(await put(store, "b1", Buffer.from("again"))).toBe(true);
      expect(await bytesOf(store, "b1")).toEqual(Buffer.from("again"));
    });

    test("nor of one that ended before its first byte", async () => {
      const upload = store.putBlockDataAsStream("b1", NOTHING);
      await upload.onFailure("b1", new Error("the connection has ended"));
      expect(await store.removeBlocks(["b1"])).toBe(0);
    });

    test("a block does not change: the first one of an id stays", async () => {
      await put(store, "b1", Buffer.from("first"));
      expect(await put(store, "b1", Buffer.from("second"))).toBe(true);
      await stream(store, "b1", [Buffer.from("third")]);
      expect(await bytesOf(store, "b1")).toEqual(Buffer.from("first"));
    });

    test("of streams of one id at the same time, the first one to complete stays", async () => {
      const [one, two] = [store.putBlockDataAsStream("b1", NOTHING), store.putBlockDataAsStream("b1", NOTHING)];
      await feed(one, [Buffer.from("one")]);
      await feed(two, [Buffer.from("two, longer")]);
      await two.onComplete("b1");
      await one.onComplete("b1");
      expect(await bytesOf(store, "b1")).toEqual(Buffer.from("two, longer"));
    });

    test("a block that is not there is ERR_RPC_STREAM, which is not worth a retry", async () => {
      const error = await failureOf((async () => store.getLocalBlockData("rdd_9_9"))());
      expect(error).toMatchObject({ code: "ERR_RPC_STREAM", retryable: false });
      expect(error.message).toContain("rdd_9_9");
    });

    test("what was removed is gone; who has it already goes on", async () => {
      await put(store, "b1", Buffer.from("one"));
      await put(store, "b2", Buffer.from("two"));
      const kept = await store.getLocalBlockData("b2");
      expect(await store.removeBlocks(["b1", "b3"])).toBe(1);
      expect(await store.removeBlocks(["b1"])).toBe(0);
      expect(await failureOf((async () => store.getLocalBlockData("b1"))())).toMatchObject({ code: "ERR_RPC_STREAM" });
      expect(Buffer.from(await kept.bytes())).toEqual(Buffer.from("two"));
      kept.release();
      await put(store, "b1", Buffer.from("new"));
      expect(await bytesOf(store, "b1")).toEqual(Buffer.from("new"));
    });

    test.each([
      "",
      ".",
      "..",
      "../b1",
      "a/b",
      "/etc/passwd",
      "a\\b",
      "C:b",
      "a\0b",
      "a b",
      "a\nb",
      ".upload-1-0",
      "ü",
      "b*",
      "x".repeat(256),
    ])("%j is no id, whatever is asked", async (blockId) => {
      const refused = { code: "ERR_RPC_INVALID_ARGUMENT" };
      expect(await failureOf((async () => store.getLocalBlockData(blockId))())).toMatchObject(refused);
      expect(await failureOf(put(store, blockId, Buffer.from("x")))).toMatchObject(refused);
      expect(() => store.putBlockDataAsStream(blockId, NOTHING)).toThrow(expect.objectContaining(refused));
      expect(await failureOf((async () => store.removeBlocks([blockId]))())).toMatchObject(refused);
    });

    test.each(["x".repeat(255), "temp_local_3f2a", "input-0-1", "broadcast_0_piece0", "a=b+c@d~e,f(g)", "$iwC"])(
      "%j is an id",
      async (blockId) => {
        await stream(store, blockId, [Buffer.from(blockId)]);
        expect(await bytesOf(store, blockId)).toEqual(Buffer.from(blockId));
      },
    );
  });
}
