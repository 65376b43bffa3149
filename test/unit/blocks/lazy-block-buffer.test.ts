/** A block that is looked for when it is wanted: once, however it is read, and what becomes of it if it is not there. */
import { describe, expect, it } from "vitest";
import { LazyBlockBuffer } from "../../../dist/src/blocks/lazy-block-buffer.js";
import { RpcError } from "../../../dist/src/common/errors.js";
import { encodeMessage, MessageType, NioManagedBuffer } from "../../../dist/src/network/index.js";
import { failureOf, textOf } from "../../fixtures/transport.js";

function lazy(find: () => Promise<NioManagedBuffer | null>): {
  readonly block: LazyBlockBuffer;
  readonly looks: () => number;
} {
  let looks = 0;
  const block = new LazyBlockBuffer(() => {
    looks++;
    return find();
  });
  return { block, looks: () => looks };
}

describe("LazyBlockBuffer", () => {
  it("looks for its block once, and knows how long it is from then on", async () => {
    const { block, looks } = lazy(async () => new NioManagedBuffer(Buffer.from("block")));
    expect([block.size, looks()]).toEqual([0, 0]);
    expect(textOf(await block.bytes())).toBe("block");
    const pieces: Buffer[] = [];
    for await (const piece of block.createInputStream()) pieces.push(piece as Buffer);
    expect(textOf(Buffer.concat(pieces))).toBe("block");
    await block.toBody();
    expect([block.size, looks()]).toEqual([5, 1]);
  });

  it("is sent with the length that it has when it is found", async () => {
    const { block } = lazy(async () => new NioManagedBuffer(Buffer.from("block")));
    const message = { type: MessageType.CHUNK_FETCH_SUCCESS, streamId: 1n, chunkIndex: 0, body: block } as const;
    const encoded = await encodeMessage(message);
    expect(encoded.bodyBytes).toBe(5);
    // Length, type, stream and index, then the block.
    expect(Buffer.from(encoded.header).readBigInt64BE(0)).toBe(BigInt(8 + 1 + 8 + 4 + 5));
  });

  it.each([
    [async () => null, "java.lang.IllegalStateException: Chunk was not found"],
    [() => Promise.reject(new RpcError("ERR_RPC_FORBIDDEN", "no")), "java.lang.SecurityException: no"],
    [() => Promise.reject(new Error("disk")), "java.lang.RuntimeException: disk"],
  ])("is a failure of the chunk if it is not found: %#", async (find, text) => {
    const { block } = lazy(find);
    expect(await failureOf(block.bytes())).toMatchObject({ code: "ERR_RPC_STREAM", message: text });
    await expect(block.createInputStream().toArray()).rejects.toThrow(text);
    const message = { type: MessageType.CHUNK_FETCH_SUCCESS, streamId: 1n, chunkIndex: 0, body: block } as const;
    const encoded = await encodeMessage(message);
    expect(textOf(encoded.header)).toContain(text);
  });
});
