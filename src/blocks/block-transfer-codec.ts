/**
 * How messages of block transfer are written: a type in one byte, then the fields, as Spark's `BlockTransferMessage`
 * writes them. One table says the fields of each message in their order; writing and reading both follow it.
 *
 * What a peer wrote is not trusted: counts and lengths are compared with the bytes that are there before anything is made
 * for them, and with each other where they must agree; all of them are bounded (limits.ts). What no peer writes (an unknown
 * type, a negative count, as many lists as map ids but one, a cause that has no name) is ERR_RPC_PROTOCOL. Bytes behind the
 * last field are ignored, as Spark ignores them.
 */
import { RpcError } from "../common/errors.js";
import { protocolError } from "../network/frame-errors.js";
import { ROARING_BITMAP_BYTES_MIN, RoaringBitmap } from "../network/roaring-bitmap.js";
import { WireReader } from "../network/wire-reader.js";
import { WireWriter } from "../network/wire-writer.js";
import {
  type BlockTransferMessage,
  type Cause,
  CORRUPTION_CAUSES,
  type ExecutorShuffleInfo,
  BlockTransferMessageType as Type,
} from "./block-transfer-messages.js";

interface Field<T> {
  write(writer: WireWriter, name: string, value: T): void;
  /** @param before the fields of the same message that have been read. */
  read(reader: WireReader, name: string, before: Readonly<Record<string, unknown>>): T;
}

/** The fields of a message or a part of one. Their order here is their order on the wire. */
type Fields<M> = { readonly [K in Exclude<keyof M, "type">]-?: Field<M[K]> };

interface Layout<M> {
  /** Spark's name. */
  readonly name: string;
  readonly fields: Fields<M>;
  /** What holds between fields: says what is wrong with the message, or null. */
  readonly problem?: (message: M) => string | null;
}

type Layouts = { readonly [M in BlockTransferMessage as M["type"]]: Layout<M> };

const I32_BYTES = 4;
const RETURN_CODE_MAX = 4;
/** Type, ids and lengths of an UploadBlock beside its data: what a WireWriter holds is less than 2 GiB. */
const BYTE_ARRAY_LENGTH_MAX = 2 ** 31 - 1 - 2 ** 20;

const text: Field<string> = {
  write: (writer, _name, value) => writer.string(value),
  read: (reader, name) => reader.string(name),
};
const texts: Field<readonly string[]> = {
  write: (writer, _name, value) => writer.strings(value),
  read: (reader, name) => reader.strings(name),
};
const byteArray: Field<Uint8Array> = {
  write: (writer, name, value) => {
    checkInteger(`${name}.length`, value.length, 0, BYTE_ARRAY_LENGTH_MAX);
    writer.byteArray(value);
  },
  read: (reader, name) => reader.byteArray(name),
};
const i32: Field<number> = {
  write: (writer, name, value) => writer.i32(checkInteger(name, value, -(2 ** 31), 2 ** 31 - 1)),
  read: (reader, name) => reader.i32(name),
};
const i64: Field<bigint> = {
  write: (writer, name, value) => {
    if (BigInt.asIntN(64, value) !== value) throw invalid(`${name} is ${value}, no signed 64-bit integer`);
    writer.i64(value);
  },
  read: (reader, name) => reader.i64(name),
};
const flag: Field<boolean> = {
  write: (writer, _name, value) => writer.bool(value),
  read: (reader, name) => reader.bool(name),
};
const bitmap: Field<RoaringBitmap> = {
  write: (writer, _name, value) => value.write(writer),
  read: (reader, name) => RoaringBitmap.read(reader, name),
};
const ints = listOf(i32, I32_BYTES);
const longs = listOf(i64, 2 * I32_BYTES);
const intListsFor = (field: string) => listOf(ints, I32_BYTES, field);
const bitmaps = listOf(bitmap, ROARING_BITMAP_BYTES_MIN);

const cause: Field<Cause> = {
  write: (writer, name, value) => {
    writer.i8(checkInteger(name, CORRUPTION_CAUSES.indexOf(value), 0, CORRUPTION_CAUSES.length - 1));
  },
  read: (reader, name) => {
    const ordinal = reader.i8(name);
    const found = CORRUPTION_CAUSES[ordinal];
    if (found === undefined) throw protocolError(`CorruptionCause: ${name}: ${ordinal}, known are 0 to 4`);
    return found;
  },
};

const returnCode: Field<number> = {
  write: (writer, name, value) => writer.i8(checkInteger(name, value, 0, RETURN_CODE_MAX)),
  read: (reader, name) => {
    const code = reader.i8(name);
    if (code >= 0 && code <= RETURN_CODE_MAX) return code;
    throw protocolError(`BlockPushReturnCode: ${name}: ${code}, known are 0 to ${RETURN_CODE_MAX}`);
  },
};

/** Three arrays: executors, how many directories each has, the directories of all. */
const dirsByExec: Field<ReadonlyMap<string, readonly string[]>> = {
  write: (writer, _name, value) => {
    const dirs = [...value.values()];
    writer.strings([...value.keys()]);
    writer.ints(dirs.map(({ length }) => length));
    writer.strings(dirs.flat());
  },
  read: (reader, name) => {
    const execIds = reader.strings("execIds");
    const counts = reader.ints("numLocalDirsByExec");
    const sum = counts.reduce((sum, count) => (count < 0 ? Number.NaN : sum + count), 0);
    const wrong = `LocalDirsForExecutors: ${name}: ${execIds.length} executors, ${counts.length} counts with the sum ${sum}`;
    if (counts.length !== execIds.length || Number.isNaN(sum)) throw protocolError(wrong);
    const dirs = reader.strings("allLocalDirs");
    if (sum !== dirs.length) throw protocolError(`${wrong}, ${dirs.length} directories`);
    let from = 0;
    return new Map(
      execIds.map((execId, index) => {
        const to = from + (counts[index] as number);
        const own = dirs.slice(from, to);
        from = to;
        return [execId, own];
      }),
    );
  },
};

const executorInfo: Field<ExecutorShuffleInfo> = partOf({
  localDirs: texts,
  subDirsPerLocalDir: i32,
  shuffleManager: text,
});

const APP_AND_EXEC = { appId: text, execId: text } as const;
const BLOCKS = { ...APP_AND_EXEC, blockIds: texts } as const;
const MERGE = { appId: text, appAttemptId: i32, shuffleId: i32, shuffleMergeId: i32 } as const;

const LAYOUTS: Layouts = {
  [Type.OPEN_BLOCKS]: { name: "OpenBlocks", fields: BLOCKS },
  [Type.UPLOAD_BLOCK]: {
    name: "UploadBlock",
    fields: { ...APP_AND_EXEC, blockId: text, metadata: byteArray, blockData: byteArray },
  },
  [Type.REGISTER_EXECUTOR]: { name: "RegisterExecutor", fields: { ...APP_AND_EXEC, executorInfo } },
  [Type.STREAM_HANDLE]: { name: "StreamHandle", fields: { streamId: i64, numChunks: i32 } },
  [Type.UPLOAD_BLOCK_STREAM]: { name: "UploadBlockStream", fields: { blockId: text, metadata: byteArray } },
  [Type.REMOVE_BLOCKS]: { name: "RemoveBlocks", fields: BLOCKS },
  [Type.BLOCKS_REMOVED]: { name: "BlocksRemoved", fields: { numRemovedBlocks: i32 } },
  [Type.FETCH_SHUFFLE_BLOCKS]: {
    name: "FetchShuffleBlocks",
    fields: {
      ...APP_AND_EXEC,
      shuffleId: i32,
      mapIds: longs,
      reduceIds: intListsFor("mapIds"),
      batchFetchEnabled: flag,
    },
    problem: ({ mapIds, reduceIds, batchFetchEnabled }) => {
      if (mapIds.length !== reduceIds.length) {
        return `${mapIds.length} mapIds and ${reduceIds.length} lists of reduceIds, there is one for each`;
      }
      const wrong = batchFetchEnabled ? reduceIds.find(({ length }) => length !== 2) : undefined;
      return wrong === undefined ? null : `a batch has its first reduceId and its end, there are ${wrong.length}`;
    },
  },
  [Type.GET_LOCAL_DIRS_FOR_EXECUTORS]: { name: "GetLocalDirsForExecutors", fields: { appId: text, execIds: texts } },
  [Type.LOCAL_DIRS_FOR_EXECUTORS]: { name: "LocalDirsForExecutors", fields: { localDirsByExec: dirsByExec } },
  [Type.PUSH_BLOCK_STREAM]: {
    name: "PushBlockStream",
    fields: { ...MERGE, mapIndex: i32, reduceId: i32, index: i32 },
  },
  [Type.FINALIZE_SHUFFLE_MERGE]: { name: "FinalizeShuffleMerge", fields: MERGE },
  [Type.MERGE_STATUSES]: {
    name: "MergeStatuses",
    fields: { shuffleId: i32, shuffleMergeId: i32, bitmaps, reduceIds: ints, sizes: longs },
  },
  [Type.FETCH_SHUFFLE_BLOCK_CHUNKS]: {
    name: "FetchShuffleBlockChunks",
    fields: {
      ...APP_AND_EXEC,
      shuffleId: i32,
      shuffleMergeId: i32,
      reduceIds: ints,
      chunkIds: intListsFor("reduceIds"),
    },
    problem: ({ reduceIds, chunkIds }) =>
      reduceIds.length === chunkIds.length
        ? null
        : `${reduceIds.length} reduceIds and ${chunkIds.length} lists of chunkIds, there is one for each`,
  },
  [Type.DIAGNOSE_CORRUPTION]: {
    name: "DiagnoseCorruption",
    fields: { ...APP_AND_EXEC, shuffleId: i32, mapId: i64, reduceId: i32, checksum: i64, algorithm: text },
  },
  [Type.CORRUPTION_CAUSE]: { name: "CorruptionCause", fields: { cause } },
  [Type.BLOCK_PUSH_RETURN_CODE]: {
    name: "BlockPushReturnCode",
    fields: { returnCode, failureBlockId: text },
  },
  [Type.REMOVE_SHUFFLE_MERGE]: { name: "RemoveShuffleMerge", fields: MERGE },
};

/**
 * The bytes of a message: what the body of an RPC or an upload's `meta` holds.
 *
 * Throws ERR_RPC_INVALID_ARGUMENT for a number that its field does not hold and for fields that do not fit each other.
 */
export function encodeBlockTransferMessage(message: BlockTransferMessage): Uint8Array {
  const layout = layoutOf(message.type);
  if (layout === undefined) throw invalid(`type is ${message.type}, there is no such message`);
  const problem = layout.problem?.(message);
  if (problem != null) throw invalid(`${layout.name}: ${problem}`);
  const writer = new WireWriter();
  writer.i8(message.type);
  writeFields(writer, layout.fields, message);
  return writer.finish();
}

/**
 * The message that `bytes` begin with. Byte arrays and bitmaps are views of them: copy what is to stay where the bytes do
 * not. Bytes behind the message are ignored.
 *
 * Throws ERR_RPC_PROTOCOL for an unknown type ("Unknown message type: N"; also 4 and 5, which Spark 4 no longer has), for
 * fields that the bytes do not hold, and for counts that do not fit each other.
 */
export function decodeBlockTransferMessage(bytes: Uint8Array): BlockTransferMessage {
  if (bytes.length === 0) throw protocolError("empty message of block transfer: a message has a type");
  // Spark's types are signed bytes.
  const type = ((bytes[0] as number) << 24) >> 24;
  const layout = layoutOf(type);
  if (layout === undefined) throw protocolError(`Unknown message type: ${type}`);
  const fields = readFields<object>(new WireReader(layout.name, bytes, 1), layout.fields);
  const message = { type, ...fields } as BlockTransferMessage;
  const problem = layout.problem?.(message);
  if (problem != null) throw protocolError(`${layout.name}: ${problem}`);
  return message;
}

/** The types of a row belong together (`Layouts`), which is lost where the row is chosen by a number. */
function layoutOf(type: number): Layout<BlockTransferMessage> | undefined {
  return (LAYOUTS as Readonly<Record<number, unknown>>)[type] as Layout<BlockTransferMessage> | undefined;
}

function partOf<M extends object>(fields: Fields<M>): Field<M> {
  return {
    write: (writer, _name, value) => writeFields(writer, fields, value),
    read: (reader) => readFields(reader, fields),
  };
}

/** @param sameAs the field of the same message whose list has as many items. */
function listOf<T>(item: Field<T>, itemBytesMin: number, sameAs?: string): Field<readonly T[]> {
  return {
    write: (writer, name, values) => {
      writer.i32(values.length);
      for (const value of values) item.write(writer, name, value);
    },
    read: (reader, name, before) => {
      const check = (count: number): void => {
        const first = sameAs === undefined ? undefined : before[sameAs];
        if (!Array.isArray(first) || first.length === count) return;
        throw protocolError(`${first.length} ${sameAs} and ${count} lists of ${name}, there is one for each`);
      };
      return reader.list(name, itemBytesMin, () => item.read(reader, name, before), undefined, check);
    },
  };
}

function writeFields<M extends object>(writer: WireWriter, fields: Fields<M>, value: M): void {
  const values = value as Readonly<Record<string, unknown>>;
  for (const [name, field] of entriesOf(fields)) field.write(writer, name, values[name]);
}

function readFields<M extends object>(reader: WireReader, fields: Fields<M>): M {
  const message: Record<string, unknown> = {};
  for (const [name, field] of entriesOf(fields)) message[name] = field.read(reader, name, message);
  return message as M;
}

function entriesOf<M extends object>(fields: Fields<M>): [string, Field<unknown>][] {
  return Object.entries(fields as Readonly<Record<string, Field<unknown>>>);
}

function checkInteger(name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw invalid(`${name} is ${value}, allowed are ${min} to ${max}`);
}

function invalid(problem: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", `message of block transfer: ${problem}`);
}
