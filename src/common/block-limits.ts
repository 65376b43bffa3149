/**
 * The limits of blocks and of the shuffle service: as limits.ts, whose second part this is.
 */
import { assert } from "./assert.js";
import { CONNECTIONS_MAX } from "./limits.js";

const KIB = 1024;
const MIB = 1024 * KIB;

// ── Blocks ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A block's id is the name of its file: what every file system takes. */
export const BLOCK_ID_BYTES_MAX = 255;
/** What a block in memory counts for besides its bytes: id, entry and buffer. Without it empty ones would cost nothing. */
export const BLOCK_ENTRY_BYTES = 1 * KIB;
/** Blocks of a MemoryBlockStore (`bytesMax`): they lie outside the JavaScript heap, beside everything else of the process. */
export const MEMORY_BLOCK_STORE_BYTES_MAX_DEFAULT = 256 * MIB;
/** A request that brings no block: some hundred thousand ids of blocks. What a stranger can have read at once. */
export const BLOCK_REQUEST_BYTES_MAX = 16 * MIB;
/** Blocks of a connection that wait to be fetched: each is looked up when it is asked for, and holds a buffer until then. */
export const BLOCKS_WAITING_PER_CONNECTION_MAX = 262_144;
/** Blocks looked up, or removed, at once: a disk answers them out of its memory, by the threads of libuv, of which there are four. */
export const BLOCK_LOOKUPS_AT_ONCE = 64;
/** Blocks that came in one message and are being stored. Streams hold their connection up instead, and do not count. */
export const UPLOADS_UNDER_WAY_BYTES_MAX = 512 * MIB;
/** What a request that waits for its turn counts for besides its bytes: its fields, and how it is answered. */
export const REQUEST_ENTRY_BYTES = 1 * KIB;
/** What an id of a block in a request takes in memory, besides its bytes: the head of a string, and where it stands in a list. */
export const BLOCK_ID_ENTRY_BYTES = 32;
/** Requests to remove blocks that are worked on at once: each has a file open, and one of libuv's four threads at a time. */
export const REMOVALS_AT_ONCE_MAX = 8;
/** ... of one connection. */
export const REMOVALS_AT_ONCE_PER_CONNECTION_MAX = 2;
/** What requests to remove blocks may hold until they are answered: ids are read from a network faster than files are removed. */
export const REMOVALS_HELD_BYTES_MAX = 128 * MIB;
/** ... of one connection: the longest request, with as many ids as it may have, and a further one. */
export const REMOVALS_HELD_BYTES_PER_CONNECTION_MAX = 32 * MIB;
/** A block that comes as a stream lies in memory in pieces of this size: as much as one read of a socket brings. */
export const MEMORY_BLOCK_PIECE_BYTES = 64 * KIB;
/** A file is written in pieces of this size, two to a file: 64 KiB, as they come, wrote at 0.6 of the rate. */
export const FILE_WRITE_BYTES = 256 * KIB;
/**
 * Items of all lists of a message: what a request for BLOCKS_WAITING_PER_CONNECTION_MAX blocks of as many maps has, with map,
 * list, first and last reducer of each. It is read in 0.1 s, in which nobody else is served; 16 MiB of empty lists took 1 s.
 */
export const WIRE_LIST_ITEMS_MAX = 1_048_576;
/**
 * ... and texts of one list, each of which costs as much as a few numbers: 50 ms. Spark asks for as many blocks at a time as
 * make 10 MB: some thousand usually, and where each has but 50 bytes 200,000.
 */
export const WIRE_TEXTS_MAX = 262_144;

// ── Shuffle service ──────────────────────────────────────────────────────────────────────────────────────────────────

/** A request to a shuffle service: it asks for blocks, it brings none. What a stranger can make the service hold. */
export const SHUFFLE_REQUEST_BYTES_MAX = 16 * MIB;
/** Connections of a shuffle service from one address: every executor of a machine has one, and its own machine has them all. */
export const SHUFFLE_CONNECTIONS_PER_ADDRESS_MAX = 512;
/** Blocks of one request; Spark's readers ask for some thousands at a time. */
export const SHUFFLE_BLOCKS_PER_REQUEST_MAX = 262_144;
/** ... and of all streams that a connection has open: at 16 bytes each, what a request holds until its last chunk is fetched. */
export const SHUFFLE_BLOCKS_PER_CONNECTION_MAX = 1_048_576;
/** Streams that a connection has open: each task of an executor has a few, and those it gave up stay until it goes. */
export const SHUFFLE_STREAMS_PER_CONNECTION_MAX = 4_096;
/** Executors of one application that a shuffle service knows: more than Spark has ever run on one machine. */
export const SHUFFLE_EXECUTORS_PER_APP_MAX = 10_000;
/** ... and of all of them. */
export const SHUFFLE_EXECUTORS_MAX = 100_000;
/** What all of them have registered, as text: it is held in memory, and read again after a restart. */
export const SHUFFLE_REGISTRATIONS_BYTES_MAX = 256 * MIB;
/** Local directories of an executor: one for each disk, and few machines have more disks. */
export const SHUFFLE_LOCAL_DIRS_MAX = 64;
/** A path of one: what Linux takes. */
export const SHUFFLE_LOCAL_DIR_BYTES_MAX = 4_096;
/** Subdirectories of one; Spark has 64. */
export const SHUFFLE_SUB_DIRS_MAX = 65_536;
/** An application's and an executor's id, and the name of the shuffle manager, which may carry a little JSON. */
export const SHUFFLE_ID_BYTES_MAX = 1_024;
export const SHUFFLE_MANAGER_BYTES_MAX = 16 * KIB;
/** Blocks that are looked into for a corruption at once: each is read from its begin to its end. */
export const DIAGNOSES_AT_ONCE_MAX = 4;
/** ... of one connection. */
export const DIAGNOSES_AT_ONCE_PER_CONNECTION_MAX = 2;
/** What requests for that may hold until they are answered: some thousands of them, which wait. */
export const DIAGNOSES_HELD_BYTES_MAX = 4 * MIB;
/** ... of one connection: some hundred. Spark asks for one when a task has found its block corrupt. */
export const DIAGNOSES_HELD_BYTES_PER_CONNECTION_MAX = 256 * KIB;
/** What registrations may hold that wait for their turn: all executors of a machine come at once when its service is back. */
export const REGISTRATIONS_HELD_BYTES_MAX = 64 * MIB;
/** ... of one connection: the longest that can be, some dozen times. */
export const REGISTRATIONS_HELD_BYTES_PER_CONNECTION_MAX = 4 * MIB;
/** An index file: 8 million partitions. A longer one is no index, and would be read into memory. */
export const SHUFFLE_INDEX_FILE_BYTES_MAX = 64 * MIB;
/** Index files kept in memory (`shuffle.service.index.cache.size`), as in Spark. */
export const SHUFFLE_INDEX_CACHE_BYTES_DEFAULT = 100 * MIB;
/** What the cache counts for an entry beside its file's bytes, as in Spark. */
export const SHUFFLE_INDEX_ENTRY_BYTES = 176;

assert(SHUFFLE_BLOCKS_PER_REQUEST_MAX <= SHUFFLE_BLOCKS_PER_CONNECTION_MAX, "one request is part of a connection's");
assert(SHUFFLE_EXECUTORS_PER_APP_MAX <= SHUFFLE_EXECUTORS_MAX, "one application's executors are part of all");
assert(SHUFFLE_CONNECTIONS_PER_ADDRESS_MAX <= CONNECTIONS_MAX, "one machine's executors are some of a service's");
