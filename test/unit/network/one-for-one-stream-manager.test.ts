/**
 * Goal: OneForOneStreamManager keeps and gives back buffers as Spark's OneForOneStreamManagerSuite demands.
 * Method: buffers that count their releases, connections that are nothing but themselves.
 */
import { describe, expect, test } from "vitest";
import {
  type Connection,
  genStreamChunkId,
  NioManagedBuffer,
  OneForOneStreamManager,
  parseStreamChunkId,
  type TransportClient,
} from "../../../dist/src/network/index.js";

class Counted extends NioManagedBuffer {
  released = 0;

  constructor(text: string) {
    super(Buffer.from(text));
  }

  override release(): this {
    this.released++;
    return this;
  }
}

const newConnection = (): Connection => ({}) as Connection;
const newManager = (): OneForOneStreamManager => new OneForOneStreamManager(() => 0.5);

describe("OneForOneStreamManagerSuite", () => {
  test("[net OneForOneStreamManagerSuite.testMissingChunk] a missing chunk is null, and what was not read is released", () => {
    const manager = newManager();
    const connection = newConnection();
    const [first, third, fourth] = [new Counted("1"), new Counted("3"), new Counted("4")];
    const streamId = manager.registerStream({ appId: "app", buffers: [first, null, third, null, fourth], connection });
    expect(manager.getChunk(streamId, 0)).toBe(first);
    expect(manager.getChunk(streamId, 1)).toBeNull();
    expect(manager.getChunk(streamId, 2)).toBe(third);
    manager.connectionTerminated(connection);
    expect([first, third, fourth].map(({ released }) => released)).toEqual([0, 0, 1]);
    expect(manager.streamCount).toBe(0);
  });

  test("[net OneForOneStreamManagerSuite.managedBuffersAreFreedWhenConnectionIsClosed] the end of a connection releases its buffers", () => {
    const manager = newManager();
    const connection = newConnection();
    const other = newConnection();
    const buffers = [new Counted("1"), new Counted("2")];
    const kept = new Counted("3");
    manager.registerStream({ buffers, connection });
    manager.registerStream({ buffers: [kept], connection: other });
    expect(manager.streamCount).toBe(2);
    manager.connectionTerminated(connection);
    expect(buffers.map(({ released }) => released)).toEqual([1, 1]);
    expect(kept.released).toBe(0);
    expect(manager.streamCount).toBe(1);
  });

  test("[net OneForOneStreamManagerSuite.streamStatesAreFreedWhenConnectionIsClosedEvenIfBufferIteratorThrowsException] also if an iterator throws", () => {
    const manager = newManager();
    const connection = newConnection();
    const after = new Counted("after");
    function* failing(): Generator<null> {
      if (after.size > 0) throw new Error("the disk is gone");
      yield null;
    }
    manager.registerStream({ buffers: failing(), connection });
    manager.registerStream({ buffers: [after], connection });
    expect(() => manager.connectionTerminated(connection)).toThrow("the disk is gone");
    expect(manager.streamCount).toBe(0);
    expect(after.released).toBe(1);
  });

  test("chunks are handed out once, in order, and the last one ends the stream", () => {
    const manager = newManager();
    const streamId = manager.registerStream({ buffers: [new Counted("1"), new Counted("2")] });
    expect(() => manager.getChunk(streamId, 1)).toThrow("Received out-of-order chunk index 1 (expected 0)");
    expect(manager.openStream(genStreamChunkId(streamId, 0))?.size).toBe(1);
    expect(() => manager.getChunk(streamId, 0)).toThrow("out-of-order");
    manager.getChunk(streamId, 1);
    expect(manager.streamCount).toBe(0);
    expect(() => manager.getChunk(streamId, 2)).toThrow(`streamId ${streamId} is closed`);
    const empty = manager.registerStream({ buffers: [] });
    expect(() => manager.getChunk(empty, 0)).toThrow("beyond end");
  });

  test("buffers that are made when asked for are not made for nobody", () => {
    const manager = newManager();
    const connection = newConnection();
    const made: Counted[] = [];
    function* lazy(): Generator<Counted> {
      for (;;) {
        made.push(new Counted("made"));
        yield made.at(-1) as Counted;
      }
    }
    const options = { buffers: lazy(), chunkCount: 3, connection, isBufferMaterializedOnNext: true };
    const streamId = manager.registerStream(options);
    manager.getChunk(streamId, 0);
    expect(made).toHaveLength(1);
    manager.connectionTerminated(connection);
    expect(made).toHaveLength(1);
  });

  test.each([undefined, 3])(
    "what fails for a chunk fails neither the one before it nor the one behind it (chunkCount: %s)",
    (chunkCount) => {
      const manager = newManager();
      const [first, third] = [new Counted("1"), new Counted("3")];
      let asked = 0;
      const buffers: IterableIterator<Counted> = {
        [Symbol.iterator]: () => buffers,
        next() {
          asked++;
          if (asked === 2) throw new Error("its file is gone");
          return asked > 3 ? { done: true, value: undefined } : { done: false, value: asked === 1 ? first : third };
        },
      };
      const streamId = manager.registerStream({ buffers, ...(chunkCount === undefined ? {} : { chunkCount }) });
      expect(asked).toBe(0);
      expect(manager.getChunk(streamId, 0)).toBe(first);
      expect(asked).toBe(1);
      expect(() => manager.getChunk(streamId, 1)).toThrow("its file is gone");
      expect(() => manager.getChunk(streamId, 1)).toThrow("Received out-of-order chunk index 1 (expected 2)");
      expect(manager.getChunk(streamId, 2)).toBe(third);
      expect(asked).toBe(3);
      // Without a count the end is known when it is asked for.
      expect(manager.streamCount).toBe(chunkCount === undefined ? 1 : 0);
      const beyond = chunkCount === undefined ? "Requested chunk index beyond end 3" : `streamId ${streamId} is closed`;
      expect(() => manager.getChunk(streamId, 3)).toThrow(beyond);
      expect(manager.streamCount).toBe(0);
      expect([first.released, third.released]).toEqual([0, 0]);
    },
  );

  test("a stream whose last chunk fails is given back all the same", () => {
    const manager = newManager();
    const buffers = (function* (): Generator<Counted> {
      yield new Counted("1");
      throw new Error("its file is gone");
    })();
    const streamId = manager.registerStream({ buffers, chunkCount: 2 });
    manager.getChunk(streamId, 0);
    expect(() => manager.getChunk(streamId, 1)).toThrow("its file is gone");
    expect(manager.streamCount).toBe(0);
  });

  test("the end of a connection releases as many as there are, of an iterator without an end too", () => {
    const manager = newManager();
    const connection = newConnection();
    const made: Counted[] = [];
    function* endless(): Generator<Counted> {
      for (;;) {
        made.push(new Counted("made"));
        yield made.at(-1) as Counted;
      }
    }
    const streamId = manager.registerStream({ buffers: endless(), chunkCount: 4, connection });
    manager.getChunk(streamId, 0);
    manager.connectionTerminated(connection);
    expect(made.map(({ released }) => released)).toEqual([0, 1, 1, 1]);
  });

  test("a count that is none, or another than that of the array, is refused", () => {
    const manager = newManager();
    for (const chunkCount of [-1, 0.5, Number.NaN, 2]) {
      const register = () => manager.registerStream({ buffers: [new Counted("1")], chunkCount });
      expect(register).toThrow(/chunkCount must say how many chunks there are: .*, buffers.length=1/);
    }
    expect(manager.streamCount).toBe(0);
  });

  test("only the application of a stream reads it, where it is known who asks", () => {
    const manager = newManager();
    const streamId = manager.registerStream({ appId: "app", buffers: [new Counted("1")] });
    const clientOf = (clientId: string | null) => ({ clientId }) as TransportClient;
    expect(() => manager.checkAuthorization(clientOf(null), streamId)).not.toThrow();
    expect(() => manager.checkAuthorization(clientOf("app"), streamId)).not.toThrow();
    expect(() => manager.checkAuthorization(clientOf("other"), streamId)).toThrow("not authorized");
    expect(() => manager.checkAuthorization(clientOf("app"), streamId + 1n)).toThrow("Unknown stream ID");
  });

  test("names of chunks are read as they are written, and nothing else is", () => {
    expect(parseStreamChunkId(genStreamChunkId(2_147_483_646_000n, 7))).toEqual({
      streamId: 2_147_483_646_000n,
      chunkIndex: 7,
    });
    for (const name of ["", "1", "1_2_3", "a_1", "1_b", "_1"]) {
      expect(() => parseStreamChunkId(name)).toThrow("Stream id and chunk index should be specified");
    }
  });
});
