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
