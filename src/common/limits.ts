/**
 * Every limit of the engine, with its unit in the name and its reason beside it. No default is Infinity. A default that
 * an option overrides says which; what has no option is a property of the layout or of a loop's turn.
 * The relations between them are asserted below, once, when this file is loaded.
 */
import { assert } from "./assert.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

// ── Rings ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** An Inbox (`inboxBytes`, a power of two): about 3,000 small messages, small enough to stay in a core's L2 cache. */
export const INBOX_BYTES_DEFAULT = 256 * KIB;
/** One page: below it a single inline record would be smaller than 512 bytes. */
export const INBOX_BYTES_MIN = 4 * KIB;
/** A quarter of a segment: larger bursts belong into the spill, which grows only when it is needed. */
export const INBOX_BYTES_MAX = 16 * MIB;
/** A loop's mailbox and its outbound ring: they carry what all of its endpoints are told and answer. */
export const LOOP_RING_BYTES = 1 * MIB;
/** A record larger than 1/8 of its ring goes by pull ticket: eight large messages must fit, or the ring runs in steps. */
export const INLINE_FRACTION_DIVISOR = 8;
/** Body blocks, from the smallest size to the largest, each twice the last. What is larger is better moved than copied. */
export const BODY_BLOCK_BYTES_MIN = 64 * KIB;
export const BODY_BLOCK_BYTES_MAX = 2 * MIB;
/** Of each size, 31.5 MiB in all, resident once they were used. With all of a size in use, bodies go by port. */
export const BODY_BLOCKS_PER_SIZE = 8;
/** Payload and attachments of a body in a block: their lengths must fit the record, also of the smallest Inbox. */
export const BODY_BLOCK_PARTS_MAX = 17;
/**
 * A producer that finds its ring empty beyond this offset starts again at 0, so a quiet ring keeps to its first pages.
 * Until the consumer has passed the padding there is room for no more than this: at 8 KiB a burst of 128 small messages
 * to an idle endpoint found its ring full. A ring that ran out of room so doubles it for itself, up to half its capacity.
 */
export const REWIND_OFFSET_BYTES = 16 * KIB;
/** One allocation from which all rings are carved: always fresh, lazily committed pages. */
export const SEGMENT_BYTES = 64 * MIB;

// ── Queues behind full rings ─────────────────────────────────────────────────────────────────────────────────────────

/** Messages that wait behind one full Inbox. */
export const SPILL_MESSAGES_PER_ENDPOINT_MAX = 100_000;
/** Bytes that wait behind one full Inbox, large bodies not yet pulled included. */
export const SPILL_BYTES_PER_ENDPOINT_MAX = 256 * MIB;
/** Bytes that wait behind all full rings of an environment: what a process can lose to queues before its heap suffers. */
export const SPILL_BYTES_PER_ENV_MAX = 1 * GIB;
/** Answers to a loop's own asks that wait behind its full mailbox: as many as it may have outstanding. */
export const MAILBOX_SPILL_MESSAGES_MAX = 65_536;
/** ... and their bytes; beyond, an asker gets ERR_RPC_INBOX_FULL instead of his answer. */
export const MAILBOX_SPILL_BYTES_MAX = 64 * MIB;
/** Large bodies posted to a loop, or by one, and not yet read there: no other bound knows of them. */
export const BODIES_UNDER_WAY_BYTES_MAX = 256 * MIB;
/** Replies a loop keeps while its outbound ring is full; it takes no new message meanwhile. */
export const OVERFLOW_LIST_BYTES_MAX = 64 * MIB;

// ── Tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Messages a loop may have taken and not answered: running, suspended on a promise, deferred. */
export const IN_FLIGHT_ENTRIES_PER_LOOP = 16_384;
/** Asks outstanding in one environment; each holds a slot of a few words. */
export const ASKS_OUTSTANDING_MAX = 1_048_576;
/** Asks that the handlers of one loop may have outstanding together: what bounds the answers in its mailbox. */
export const ASKS_PER_LOOP_MAX = 65_536;
/** Endpoints of one environment: members of a ready set; id 0 stands for a loop's mailbox. */
export const ENDPOINTS_MAX = 16_383;
/** Loops of an environment, loop 0 included: loop ids are one byte in every record. */
export const LOOPS_MAX = 256;

// ── A loop's turn ────────────────────────────────────────────────────────────────────────────────────────────────────

/** Messages a worker loop takes before it lets timers, sockets and its control port run (`throughput`). */
export const TURN_MESSAGES_DEFAULT = 64;
/** ... or the time it takes them in, whichever is first: 64 handlers of 2 ms would delay a timer by 128 ms. */
export const TURN_MS = 1;
/** The part of a turn that belongs to shared Inboxes when one of them waits: busy pinned endpoints cannot starve them. */
export const SHARED_TURN_MESSAGES_RESERVED = 16;
export const SHARED_TURN_MS_RESERVED = 0.25;
/** Replies loop 0 settles in a turn: it serves sockets and user code of the main thread besides. */
export const LOOP0_TURN_REPLIES = 128;
/** ... or the time it settles them in. */
export const LOOP0_TURN_MS = 1;
/** Async handlers in flight per replica of a concurrent endpoint (`concurrency`). */
export const CONCURRENCY_DEFAULT = 64;
/**
 * Looks at its rings before a worker goes to sleep: about 6 µs, as long as loop 0 needs to bring the next ask of a
 * caller that awaits each. 100 looks are too few for one loop (50 k asks/s against 200 k), 500 bring no more.
 */
export const WORKER_SPIN_ITERATIONS = 300;
/** Empty turns loop 0 polls while asks are outstanding: 3 to 8 are equally fast, 20 burn a third of a core. */
export const LOOP0_EMPTY_POLLS = 5;
/** Between two sweeps over ask deadlines and unanswered bells; also how late a timeout may be noticed. */
export const SWEEP_PERIOD_MS = 50;
/** After this, loop 0 looks whether a bell it rang for a shared Inbox was heard. */
export const RERING_MS = 1;

// ── Messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** One encoded message: Spark's spark.rpc.message.maxSize. */
export const MESSAGE_BYTES_MAX = 128 * MIB;
/** Bytes inside a message from here on travel beside it: packing them would copy them once more at each end. */
export const ATTACHMENT_BYTES_MIN = 16 * KIB;
/** Shapes of objects that the threads of an env share; numbers of one byte and two. */
export const RECORD_SHAPES_MAX = 256;
/** Keys of one of them: an object with more is rarely met twice. */
export const RECORD_SHAPE_KEYS_MAX = 32;
/** Where they stand in shared memory. */
export const RECORD_SHAPES_BYTES = 64 * KIB;
/** Nested containers in a message; a decoder without this limit is a stack overflow waiting for its sender. */
export const DECODE_DEPTH_MAX = 64;
/** Causes of causes that travel with an error. */
export const ERROR_CAUSE_DEPTH_MAX = 8;
/** UTF-8 bytes of an endpoint's name: its length is one byte on the wire. */
export const ENDPOINT_NAME_BYTES_MAX = 255;

// ── Network ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A message from the network (`rpc.message.maxSize`, unless it is set): what a stranger can make this process hold. */
export const NETWORK_MESSAGE_BYTES_MAX_DEFAULT = 16 * MIB;
/** A frame is longer than its message: type, ids, and the names and addresses of the envelope. */
export const FRAME_OVERHEAD_BYTES_MAX = 4 * KIB;
/** Longest frame of the protocol: Spark counts the bytes behind the length in a signed 32-bit integer, which they do not reach. */
export const FRAME_BYTES_MAX = 2 ** 31 - 2 + 8;
/** Memory for a frame that arrives in parts is made in steps of this size: who announces much and sends little holds little. */
export const FRAME_ASSEMBLY_BYTES_MIN = 64 * KIB;
/**
 * A part of a longer frame that is not copied. Up to 64 KiB are read at once, into memory of that size: accepted sockets lend no
 * more of it than was read, dialled ones read on behind what is kept.
 */
export const FRAME_PART_KEPT_BYTES_MIN = 16 * KIB;
/** Unfinished frames of all accepted connections together; beyond it the one that holds most ends. */
export const FRAMES_UNFINISHED_BYTES_MAX = 256 * MIB;
/** A frame must end so long after its first byte, or bring PEER_BYTES_PER_SECOND_MIN of itself meanwhile. */
export const FRAME_TIMEOUT_MS = 30_000;
/** Frames a connection handles before the loop turns: as many as one segment of 64 KiB holds at 64 bytes each. */
export const FRAMES_PER_TURN = 1_024;
/** ... or the time it takes them in, whichever is first. */
export const FRAMES_TURN_MS = 5;
/** A body is handed out in pieces of this size, as Spark does, to who asks for no other. */
export const BODY_PIECE_BYTES_MAX = 256 * KIB;
/** The rest of a stream that nobody wants: as much is read and thrown away; for more a new connection costs less. */
export const STREAM_DRAIN_BYTES_MAX = 1 * MIB;

/** What a socket reads at a time: as Node.js does by itself. */
export const SOCKET_READ_BYTES = 64 * KIB;
/** ... and at the least, where the beginning of that memory is kept. */
export const SOCKET_READ_BYTES_MIN = 16 * KIB;
/** So much of that memory is kept for the next reads of all connections until the garbage collector runs: 64 MiB of chunks. */
export const SOCKET_READS_KEPT = 1_024;

// ── Connections ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Small messages of one tick are copied one behind the other into memory of this size, and written together. */
export const WRITE_BATCH_BYTES = 64 * KIB;
/** A longer frame gets memory of its own: it would leave most of a batch unused. */
export const WRITE_BATCHED_FRAME_BYTES_MAX = 16 * KIB;
/** Batches kept for the next tick, of all connections: what a busy process has under way, and no more when it is idle. */
export const WRITE_BATCHES_KEPT = 64;
/** Bytes handed to a socket and not yet written. What waits beyond is still in order here, and can still be counted. */
export const WRITE_WINDOW_BYTES = 2 * MIB;
/** ... in pieces of this size, so that progress is seen; also what is read ahead of a file: 256 KiB read at 0.75 of the rate. */
export const WRITE_PIECE_BYTES = 512 * KIB;
/** Pieces of memory to read files into that are kept, of all connections: a window's worth twice. */
export const FILE_READS_KEPT = 8;
/**
 * Bytes handed to a socket before the loop turns: a quarter of a millisecond of copying, in which no other connection is heard.
 * With a MiB asks beside a transfer have twice the p99, with 256 KiB transfers three quarters of the rate.
 */
export const WRITE_TURN_BYTES = 512 * KIB;
/** So long after waking a thread a bulk write has not heard of it again: it may be waiting for a core. Less than a turn. */
export const WOKEN_SERVED_MS = 0.2;
/** More than a slice of the scheduler: by now it has had one. */
export const WOKEN_FORGOTTEN_MS = 4;
/** Longer than libuv's thread pool takes for a job that is nothing, unless it is busy. */
export const POOL_TRIP_MS = 5;
/** What it takes where nothing else is to be done in it. */
export const POOL_TRIP_FREE_MS = 0.3;
/** After a trip there is none for so many times what it took beyond that. */
export const POOL_RESTS = 4;
/**
 * What a message with a body counts for while it waits, besides what stands in memory of an answer's body: who asks for chunks
 * by the thousand is held up, wherever they are.
 */
export const WRITE_MESSAGE_BYTES = 1 * KIB;
/** Answers that wait for a peer who does not read them: from here on nothing more is read from it. */
export const WRITE_QUEUE_PAUSE_BYTES = 16 * MIB;
/** What waits in a connection's write queue in all: a request beyond it is refused, an answer replaced by a failure. */
export const WRITE_QUEUE_BYTES_MAX = 64 * MIB;
/** Characters of a failure that is sent all the same: as many can wait as there may be requests without an answer. */
export const FAILURE_TEXT_SHORT = 1 * KIB;
/** Who takes less than PEER_BYTES_PER_SECOND_MIN of what waits for him for so long loses his connection. */
export const WRITE_STALL_MS = 30_000;
/**
 * The least that a peer gives of a frame, or takes of what waits for it, on the average of these times: 120 KiB in 30 s. A bad
 * line of a telephone carries more; who reads a KiB a second, or sends a byte now and then, holds memory and means no good.
 * What a peer takes is seen in the steps in which the system makes room, on Linux up to 1.5 MiB: 50 KiB a second are always enough.
 */
export const PEER_BYTES_PER_SECOND_MIN = 4 * KIB;
/** Connections of a server. */
export const CONNECTIONS_MAX = 1_024;
/** ... and of one address among them: one peer cannot take them all. */
export const CONNECTIONS_PER_ADDRESS_MAX = 64;
/** Requests of one connection that are not answered yet. */
export const REQUESTS_PER_CONNECTION_MAX = 10_000;
/** Own requests of one connection that are outstanding: a slot's number takes 20 bits of a handle. */
export const RPCS_PER_CONNECTION_MAX = 2 ** 20;
/** Between two looks at a context's connections: how late the end of one that is quiet or stuck may come. */
export const CONNECTION_SWEEP_MS = 1_000;
/** For the last answers of an env that shuts down, whatever its endpoints left of its time. */
export const SHUTDOWN_FLUSH_MS_MIN = 100;
/** An orderly close waits this long for the peer to take what is queued. */
export const CONNECTION_CLOSE_MS = 10_000;
/** ... and as long again where it has taken so much of it meanwhile: PEER_BYTES_PER_SECOND_MIN. */
export const CONNECTION_CLOSE_BYTES_MIN = (CONNECTION_CLOSE_MS / 1_000) * PEER_BYTES_PER_SECOND_MIN;
/** ... and, once all is written, so long for the peer's own end: to end before it could tear up what it has not read. */
export const CONNECTION_LINGER_MS = 2_000;
/** After a failed connect, a caller in a hurry is refused at once for this part of `io.retryWait`. */
export const FAST_FAIL_FRACTION = 0.95;

// ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The path in a request for a file: the longest that Linux takes. A longer one is not looked up. */
export const FILE_PATH_BYTES_MAX = 4 * KIB;
/** Connections for downloads from one peer, where `files.io.numConnectionsPerPeer` is not set: further ones wait. */
export const FILE_CONNECTIONS_PER_PEER = 8;
/** Bytes of a file that wait to be read before its connection is paused: what one read of a socket brings. */
export const FILE_CHANNEL_BYTES = 64 * KIB;
/** A frame that comes to who downloads: an announcement or a failure, which may be one of Java's stack traces. */
export const FILE_FRAME_BYTES_MAX = 1 * MIB;

// ── Times ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** An ask without `timeoutMs`: Spark's spark.rpc.askTimeout. */
export const ASK_TIMEOUT_MS_DEFAULT = 120_000;
/** Import, construction and onStart of an endpoint on all of its loops. */
export const ENDPOINT_START_TIMEOUT_MS = 30_000;
/** Longest finite timeout, 12.4 days: deadlines are 32-bit milliseconds compared by wrapped difference. */
export const TIMEOUT_MS_MAX = 2 ** 30 - 1;
/** What `remainingMs` says when no time is left: the least that can still be passed on as a timeout. */
export const TIMEOUT_MS_MIN = 0.001;
/** After the timeout of a stop: for handlers that were told to give up, and for onStop. */
export const STOP_GRACE_MS = 5_000;
/** A handler that does not end after its ask has ended: then a concurrent endpoint takes its slot back. */
export const HANDLER_GRACE_MS = 5_000;
/** `env.shutdown()` and `env.stop()` without `timeoutMs`. */
export const SHUTDOWN_TIMEOUT_MS_DEFAULT = 10_000;

// ── Crashes ──────────────────────────────────────────────────────────────────────────────────────────────────────────

// Defaults of the conf keys rpc.crash.… and rpc.restart.….

/** A loop that died is started again after this, doubled with each crash within CRASH_WINDOW_MS of a start. */
export const RESTART_DELAY_MS_MIN = 100;
/** ... but never later: what waits for it is an ask with a timeout. */
export const RESTART_DELAY_MS_MAX = 5_000;
/** Crashes longer ago than this do not count. */
export const CRASH_WINDOW_MS = 10_000;
/** An endpoint blamed for so many crashes within CRASH_WINDOW_MS is FAILED: it would take its neighbours down for ever. */
export const CRASHES_BLAMED_MAX = 5;
/** A loop that could not be started so often, one time after the other, fails the setups that wait for it. */
export const LOOP_START_ATTEMPTS_MAX = 5;
/** A loop that was ended and whose thread has not exited is stuck in a native call: its endpoints go elsewhere. */
export const LOOP_END_GRACE_MS = 5_000;
/** A loop that does not answer within this does not turn. Far above a turn, far below any timeout of an endpoint. */
export const PING_TIMEOUT_MS = 1_000;

// ── Peers ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Messages that wait for one peer while it is being connected: what Pekko holds for a handshake. */
export const OUTBOX_MESSAGES_MAX = 3_072;
/** ... and their bytes. */
export const OUTBOX_BYTES_MAX = 8 * MIB;
/** Bytes that wait for connections and answers, of all peers together (`rpc.outbox.maxBytes`). */
export const OUTBOX_TOTAL_BYTES_MAX = 64 * MIB;
/** What a peer that is connected, and answers slowly, may hold of that: others can be connected meanwhile. */
export const OUTBOX_HELD_FRACTION = 1 / 2;
/** Between two looks at who was heard of. */
export const LIVENESS_LOOK_MS = 5_000;
/** A peer that was not heard of for so many looks is asked whether it is there. */
export const LIVENESS_PROBE_LOOKS = 2;
/** ... and after so many it is dead. Looks, not time: a main thread that was held up has looked once, whatever the clock says. */
export const LIVENESS_DEAD_LOOKS = 6;
/** A host in an envelope: the longest name that DNS knows. */
export const HOST_BYTES_MAX = 255;

// ── Handshakes ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Making a connection (`io.connectionCreationTimeout`), name look-up and handshake included: no peer in reach needs more. */
export const CONNECT_TIMEOUT_MS_DEFAULT = 5_000;
/** A TLS handshake, at either end: a few round trips and a signature; who needs longer does not mean to finish it. */
export const HANDSHAKE_TIMEOUT_MS = 5_000;
/** Connections of a server not yet through it: each holds memory and may cost a signature, before anybody is known. */
export const HANDSHAKES_PENDING_MAX = 64;
/** ... and of one address among them: a stranger who stalls costs the others a quarter of the places, and a burst still fits. */
export const HANDSHAKES_PENDING_PER_ADDRESS_MAX = 16;
/** What a server that refuses a client's certificate has to say so, if it sends no session ticket when it accepts one. */
export const CERTIFICATE_VERDICT_MS = 1_000;
/** A secret: as much as the key that is made of it. Less could be guessed from one recorded handshake. */
export const SECRET_BYTES_MIN = 32;
/** An application's id, the first part of an identity of at most 128 bytes: what OpenSSL takes. */
export const APP_ID_BYTES_MAX = 100;

// ── How they hang together ───────────────────────────────────────────────────────────────────────────────────────────

/** True for 1, 2, 4, … 2³⁰. */
export function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(value) && value > 0 && value <= 2 ** 30 && (value & (value - 1)) === 0;
}

for (const bytes of [INBOX_BYTES_DEFAULT, INBOX_BYTES_MIN, INBOX_BYTES_MAX, LOOP_RING_BYTES, SEGMENT_BYTES]) {
  assert(isPowerOfTwo(bytes), `ring and segment sizes are powers of two: bytes=${bytes}`);
}
assert(INBOX_BYTES_MIN <= INBOX_BYTES_DEFAULT && INBOX_BYTES_DEFAULT <= INBOX_BYTES_MAX, "min <= default <= max");
assert(isPowerOfTwo(INLINE_FRACTION_DIVISOR), "the inline bound is a shift of the ring's capacity");
assert(INBOX_BYTES_MIN / INLINE_FRACTION_DIVISOR >= 512, "the smallest Inbox takes a record of 512 bytes inline");
assert(isPowerOfTwo(BODY_BLOCK_BYTES_MIN) && isPowerOfTwo(BODY_BLOCK_BYTES_MAX), "each size is twice the last");
assert(INBOX_BYTES_MAX + INBOX_BYTES_MAX / INLINE_FRACTION_DIVISOR <= SEGMENT_BYTES, "ring and slack fit a segment");
assert(MESSAGE_BYTES_MAX <= SPILL_BYTES_PER_ENDPOINT_MAX, "the largest message can wait");
assert(MESSAGE_BYTES_MAX <= BODIES_UNDER_WAY_BYTES_MAX, "the largest message can be under way");
assert(SPILL_BYTES_PER_ENDPOINT_MAX <= SPILL_BYTES_PER_ENV_MAX, "one endpoint's spill is part of the environment's");
assert(isPowerOfTwo(IN_FLIGHT_ENTRIES_PER_LOOP) && isPowerOfTwo(ASKS_OUTSTANDING_MAX), "slots are found by masking");
assert(IN_FLIGHT_ENTRIES_PER_LOOP <= ASKS_OUTSTANDING_MAX, "a full loop does not exhaust the ask table");
assert(ASKS_PER_LOOP_MAX <= ASKS_OUTSTANDING_MAX && ASKS_PER_LOOP_MAX < 2 ** 20, "a loop's asks fit the env's table");
assert(ENDPOINTS_MAX < 2 ** 16, "an endpoint id shares a word with the length of a name");
assert(LOOPS_MAX <= 256, "a loop id is one byte");
assert(CONCURRENCY_DEFAULT <= IN_FLIGHT_ENTRIES_PER_LOOP, "a replica's handlers fit its loop's table");
assert(ATTACHMENT_BYTES_MIN < MESSAGE_BYTES_MAX, "small messages have no attachments");
assert(RERING_MS < SWEEP_PERIOD_MS, "the sweep is the net under the re-ring");
assert(SWEEP_PERIOD_MS < ENDPOINT_START_TIMEOUT_MS, "timeouts are noticed by the sweep");
assert(RESTART_DELAY_MS_MIN < RESTART_DELAY_MS_MAX, "a delay can double");
assert(
  (2 ** (CRASHES_BLAMED_MAX - 1) - 1) * RESTART_DELAY_MS_MIN < CRASH_WINDOW_MS,
  "an endpoint that kills its loop at once fails: its crashes fit the window, the waits between them included",
);
assert(ERROR_CAUSE_DEPTH_MAX < DECODE_DEPTH_MAX, "a chain of causes fits the decode depth");
assert(ENDPOINT_NAME_BYTES_MAX <= 255, "the length of a name is one byte");
assert(NETWORK_MESSAGE_BYTES_MAX_DEFAULT <= MESSAGE_BYTES_MAX, "what comes from the network fits an Inbox");
assert(MESSAGE_BYTES_MAX + FRAME_OVERHEAD_BYTES_MAX <= FRAME_BYTES_MAX, "the largest message fits a frame");
assert(FRAME_ASSEMBLY_BYTES_MIN <= NETWORK_MESSAGE_BYTES_MAX_DEFAULT, "one frame in memory is the least");
assert(WRITE_BATCHED_FRAME_BYTES_MAX <= WRITE_BATCH_BYTES, "a batch takes the frames that belong into it");
assert(WRITE_PIECE_BYTES <= WRITE_WINDOW_BYTES, "one piece is under way while the next is read");
assert(WRITE_QUEUE_PAUSE_BYTES < WRITE_QUEUE_BYTES_MAX, "reading is paused before the connection ends");
assert(CONNECTIONS_PER_ADDRESS_MAX <= CONNECTIONS_MAX, "one address is one of many");
assert(HANDSHAKES_PENDING_PER_ADDRESS_MAX < HANDSHAKES_PENDING_MAX, "one address leaves places to others");
assert(RPCS_PER_CONNECTION_MAX <= 2 ** 20, "31 bits of generation and a slot make an exact number");
