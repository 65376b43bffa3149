/**
 * Goal: what is read of files to be sent goes into the same memory again and again, but never into memory that anybody may
 * still look at.
 * Method: real files, several readers at once in random order, pieces of random lengths, of which some are given back, some
 * twice and some never; what was not given back is compared with the file at the end.
 */
import { randomFillSync } from "node:crypto";
import { expect, test } from "vitest";
import { type BodyReader, FileSegmentManagedBuffer } from "../../../dist/src/network/index.js";
import { Folder } from "../../fixtures/folder.js";
import { printedRandom } from "../../fixtures/random.js";

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
      reading.reader.recycle?.(bytes);
      if (random.next() < 0.3) reading.reader.recycle?.(bytes);
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
  for (let piece = await reader.read(1_024 * KIB); piece !== null; piece = await reader.read(1_024 * KIB)) {
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

test("after close nothing is read any more", async () => {
  await using folder = await Folder.create();
  const { content, path } = await randomFile(folder, 4_096 * KIB);
  const reader = (await new FileSegmentManagedBuffer(path, 0, content.length).toBody()) as BodyReader;
  expect(await reader.read(1_024 * KIB)).not.toBe(null);
  const next = reader.read(1_024 * KIB);
  reader.close();
  expect([await next, await reader.read(1_024 * KIB)]).toEqual([null, null]);
});
