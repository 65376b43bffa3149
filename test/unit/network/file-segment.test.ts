/**
 * Goal: what is read of files to be sent goes into the same memory again and again, but never into memory that anybody may
 * still look at; and what nobody looks at any more is nobody's.
 * Method: real files, several readers at once in random order, pieces of random lengths, of which some are given back, some
 * twice, at once or later, and some never; what was not given back is compared with the file at the end. Then a real
 * connection whose peer does not read, and a reader that spoils what is given back to it.
 */
import { randomFillSync } from "node:crypto";
import { truncate } from "node:fs/promises";
import { expect, test } from "vitest";
import {
  type BodyReader,
  FileSegmentManagedBuffer,
  NioManagedBuffer,
  OneForOneStreamManager,
} from "../../../dist/src/network/index.js";
import { Folder } from "../../fixtures/folder.js";
import { printedRandom } from "../../fixtures/random.js";
import { ask, ScriptedHandler, Transports } from "../../fixtures/transport.js";

const KIB = 1_024;

interface Piece {
  readonly bytes: Uint8Array;
  readonly at: number;
}

class Reading {
  readonly #segment: FileSegmentManagedBuffer;
  readonly reader: BodyReader;
  readonly kept: Piece[] = [];
  at: number;
  isDone = false;

  private constructor(segment: FileSegmentManagedBuffer, reader: BodyReader) {
    this.#segment = segment;
    this.reader = reader;
    this.at = segment.offset;
  }

  static async of(segment: FileSegmentManagedBuffer): Promise<Reading> {
    return new Reading(segment, (await segment.toBody()) as BodyReader);
  }

  async next(bytesMax: number): Promise<void> {
    const bytes = await this.reader.read(bytesMax);
    if (bytes === null) {
      expect(this.at).toBe(this.#segment.offset + this.#segment.size);
      this.isDone = true;
      return;
    }
    expect(bytes.length).toBeLessThanOrEqual(bytesMax);
    this.kept.push({ bytes, at: this.at });
    this.at += bytes.length;
  }
}

async function* bodyOf(reader: BodyReader): AsyncGenerator<Uint8Array> {
  for (let piece = await reader.read(KIB * KIB); piece !== null; piece = await reader.read(KIB * KIB)) yield piece;
}

async function randomFile(folder: Folder, bytes: number) {
  const content = randomFillSync(Buffer.allocUnsafe(bytes));
  return { content, path: await folder.file("file", content) };
}

test("pieces that were not given back keep their bytes, whoever reads, gives back or closes", async () => {
  const random = printedRandom("pieces of files");
  await using folder = await Folder.create();
  const { content, path } = await randomFile(folder, 6_000 * KIB);
  const all: Reading[] = [];
  const open: Reading[] = [];
  const givenBack: (() => void)[] = [];
  while (all.length < 24 || open.length > 0) {
    if (all.length < 24 && open.length < 4) {
      const offset = random.integer(0, content.length);
      const reading = await Reading.of(
        new FileSegmentManagedBuffer(path, offset, random.integer(0, content.length - offset)),
      );
      all.push(reading);
      open.push(reading);
    }
    const reading = open[random.integer(0, open.length - 1)] as Reading;
    await reading.next(random.next() < 0.7 ? 1_024 * KIB : random.logarithmic(1, 2_048 * KIB));
    if (random.next() < 0.5 && reading.kept.length > 0) {
      const [{ bytes }] = reading.kept.splice(random.integer(0, reading.kept.length - 1), 1) as [Piece];
      const giveBack = (): void => reading.reader.recycle?.(bytes);
      giveBack();
      givenBack.push(giveBack);
      if (random.next() < 0.3) givenBack[random.integer(0, givenBack.length - 1)]?.();
    }
    if (reading.isDone || random.next() < 0.03) {
      reading.reader.close();
      open.splice(open.indexOf(reading), 1);
    }
  }
  const wrong = all
    .flatMap(({ kept }) => kept)
    .filter(({ bytes, at }) => !content.subarray(at, at + bytes.length).equals(bytes));
  expect(wrong.map(({ at, bytes }) => [at, bytes.length])).toEqual([]);
});

test("what was given back is read into again", async () => {
  await using folder = await Folder.create();
  const { content, path } = await randomFile(folder, 64 * 512 * KIB);
  const reader = (await new FileSegmentManagedBuffer(path, 0, content.length).toBody()) as BodyReader;
  const memory = new Set<ArrayBufferLike>();
  let at = 0;
  for await (const piece of bodyOf(reader)) {
    expect(content.subarray(at, at + piece.length).equals(piece)).toBe(true);
    at += piece.length;
    memory.add(piece.buffer);
    reader.recycle?.(piece);
  }
  reader.close();
  expect(at).toBe(content.length);
  // One is looked at while the next is read; others may have been kept from before.
  expect(memory.size).toBeLessThanOrEqual(8);
});

test.each(["a stream", "a body"])("what is read as %s and not given back is not held", async (form) => {
  await using folder = await Folder.create();
  const path = await folder.file("file", "");
  const size = 600_000 * KIB;
  await truncate(path, size);
  const segment = new FileSegmentManagedBuffer(path, 0, size);
  const reader = form === "a body" ? ((await segment.toBody()) as BodyReader) : null;
  const pieces = reader === null ? segment.createInputStream() : bodyOf(reader);
  let [bytes, most] = [0, 0];
  const before = process.memoryUsage().arrayBuffers;
  for await (const piece of pieces) {
    bytes += piece.length;
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  reader?.close();
  expect(bytes).toBe(size);
  // V8 looks for what nobody has any more each 32 to 64 MiB.
  expect(most).toBeLessThan(size / 3);
});

test("a piece is given back when the system has taken it, never before", async () => {
  await using transports = new Transports();
  const bytes = randomFillSync(Buffer.allocUnsafe(16_000 * KIB));
  let recycled = 0;
  class Spoiling extends NioManagedBuffer {
    override toBody(): never {
      let at = 0;
      const reader: BodyReader = {
        read: async (bytesMax) => {
          // A copy, which is spoilt later.
          const piece = Buffer.from(bytes.subarray(at, at + bytesMax));
          at += piece.length;
          return piece;
        },
        recycle: (piece) => {
          recycled += piece.length;
          piece.fill(0xee);
        },
        close: () => {},
      };
      return reader as never;
    }
  }
  const streams = new OneForOneStreamManager(() => 0);
  const streamId = streams.registerStream({ buffers: [new Spoiling(bytes)] });
  const server = await transports.serve(
    new ScriptedHandler({ streams, receive: (_c, message, reply) => reply.onSuccess(Buffer.from(message)) }),
  );
  const [client, other] = [await transports.client(server), await transports.client(server, transports.context())];
  let at = 0;
  let wrong = 0;
  await new Promise<void>((resolve, reject) => {
    client.stream(`${streamId}_0`, {
      onData: async (_id, part) => {
        // The sender has come as far as it can before any is read.
        if (at === 0) for (let n = 0; n < 20; n++) await ask(other, `${n}`);
        if (at === 0) expect(recycled).toBeLessThan(bytes.length);
        if (!bytes.subarray(at, at + part.length).equals(part)) wrong++;
        at += part.length;
      },
      onComplete: () => resolve(),
      onFailure: (_id, error) => reject(error),
    });
  });
  expect({ at, wrong }).toEqual({ at: bytes.length, wrong: 0 });
  await expect.poll(() => recycled).toBe(bytes.length);
});

test("after close nothing is read any more", async () => {
  await using folder = await Folder.create();
  const { content, path } = await randomFile(folder, 4_096 * KIB);
  const reader = (await new FileSegmentManagedBuffer(path, 0, content.length).toBody()) as BodyReader;
  expect(await reader.read(1_024 * KIB)).not.toBe(null);
  const next = reader.read(1_024 * KIB);
  reader.close();
  expect([await next, await reader.read(1_024 * KIB)]).toEqual([null, null]);
});
