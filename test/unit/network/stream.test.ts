/**
 * Goal: streams by name arrive whole and in order, as Spark's StreamSuite demands, over real sockets.
 * Method: four streams of different sizes, one of them a file, asked for one by one and many at once.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  FileSegmentManagedBuffer,
  type ManagedBuffer,
  NioManagedBuffer,
  StreamManager,
} from "../../../dist/src/network/index.js";
import { failureOf, fetchChunk, ScriptedHandler, stream, Transports } from "../../fixtures/transport.js";

const counting = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, index) => index % 256));
const CONTENTS: Readonly<Record<string, Buffer>> = {
  emptyBuffer: Buffer.alloc(0),
  smallBuffer: counting(100),
  largeBuffer: counting(100_000),
  file: Buffer.from(Array.from({ length: 512 * 1024 }, (_, index) => (index * 31) % 251)),
};
const NAMES = Object.keys(CONTENTS);

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ringpost-"));
  writeFileSync(join(folder, "file"), CONTENTS.file as Buffer);
});
afterAll(() => rmSync(folder, { recursive: true }));

class NamedStreams extends StreamManager {
  getChunk(): ManagedBuffer | null {
    return null;
  }

  override openStream(streamId: string): ManagedBuffer | null {
    if (streamId === "file") return new FileSegmentManagedBuffer(join(folder, "file"), 0, 512 * 1024);
    const bytes = CONTENTS[streamId];
    return bytes === undefined ? null : new NioManagedBuffer(bytes);
  }
}

async function connected(transports: Transports) {
  return transports.client(await transports.serve(new ScriptedHandler({ streams: new NamedStreams() })));
}

describe("StreamSuite", () => {
  test("[net StreamSuite.testZeroLengthStream] a stream without bytes completes", async () => {
    await using transports = new Transports();
    expect(await stream(await connected(transports), "emptyBuffer")).toHaveLength(0);
  });

  test("[net StreamSuite.testSingleStream] a stream arrives whole", async () => {
    await using transports = new Transports();
    const bytes = await stream(await connected(transports), "largeBuffer");
    expect(bytes.equals(CONTENTS.largeBuffer as Buffer)).toBe(true);
  });

  test("[net StreamSuite.testMultipleStreams] twenty streams one after the other arrive over one connection", async () => {
    await using transports = new Transports();
    const client = await connected(transports);
    for (let index = 0; index < 20; index++) {
      const name = NAMES[index % NAMES.length] as string;
      expect((await stream(client, name)).equals(CONTENTS[name] as Buffer)).toBe(true);
    }
    expect(client.outstandingCount).toBe(0);
  });

  test("[net StreamSuite.testConcurrentStreams] twenty at once do, too, each whole", async () => {
    await using transports = new Transports();
    const client = await connected(transports);
    const names = Array.from({ length: 20 }, (_, index) => NAMES[(index * 3) % NAMES.length] as string);
    const arrived = await Promise.all(names.map((name) => stream(client, name)));
    expect(arrived.map((bytes, index) => bytes.equals(CONTENTS[names[index] as string] as Buffer))).not.toContain(
      false,
    );
  });

  test("a stream that is not there fails, and the next one arrives", async () => {
    await using transports = new Transports();
    const client = await connected(transports);
    const [error, bytes] = await Promise.all([failureOf(stream(client, "nothing")), stream(client, "smallBuffer")]);
    expect(error).toMatchObject({ code: "ERR_RPC_STREAM", message: "Stream 'nothing' was not found." });
    expect(bytes).toHaveLength(100);
  });

  test("a receiver that throws loses its connection, and streams and chunks behind it fail", async () => {
    await using transports = new Transports();
    const client = await connected(transports);
    const failed: string[] = [];
    const thrown = new Promise<Error>((resolve) => {
      client.stream("file", {
        onData: () => {
          throw new Error("no room");
        },
        onComplete: () => void failed.push("completed"),
        onFailure: (_id, error) => resolve(error),
      });
    });
    const behind = [failureOf(stream(client, "smallBuffer")), failureOf(fetchChunk(client, 1n, 0))];
    expect((await thrown).message).toContain("no room");
    for (const error of await Promise.all(behind)) expect(error).toMatchObject({ code: "ERR_RPC_CONNECTION_LOST" });
    expect(failed).toEqual([]);
    expect(client.isActive).toBe(false);
  });
});
