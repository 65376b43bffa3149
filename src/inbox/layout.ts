/**
 * The layout of everything in shared memory. No other file writes a number for an offset.
 *
 * Offsets are in 32-bit words unless a name says otherwise. Words that different threads write often lie a LINE apart:
 * 128 bytes, two cache lines, because processors fetch lines in pairs (Agrona, crossbeam).
 *
 * Positions (TAIL, HEAD) count units of 8 bytes, run free through all int32 values and are compared as `(a - b) | 0`.
 */

export const UNIT_BYTES = 8;
export const UNIT_WORDS = 2;
export const LINE_WORDS = 32;

/**
 * The header of a ring: an Inbox, a loop's mailbox, or a loop's outbound ring.
 *
 * | offset | words | name     | writer                          | readers            | published by / woken by                  |
 * |-------:|------:|----------|---------------------------------|--------------------|------------------------------------------|
 * |      0 |     1 | TAIL     | the producer                    | consumers          | itself; then ready bit, then bell        |
 * |      1 |     1 | DATA     | the allocator, once             | both, when made    | before anybody else knows the ring       |
 * |     32 |     1 | HEAD     | who may consume (lock holder)   | producer, recovery | itself                                   |
 * |     64 |     1 | WANT     | producer sets, consumer clears  | consumer           | itself; consumer then rings the producer |
 * |     96 |     1 | LOCK     | CAS by any consumer             | consumers, recovery| itself                                   |
 * |    128 |     8 | OPEN     | each loop its own bit           | who rings          | itself                                   |
 *
 * DATA is the index of the first word of the ring's data, elsewhere in the segment: headers lie side by side, and a ring
 * that nobody has used shares the page that it has touched. The data, which TAIL publishes, is `capacity` bytes, a power
 * of two, and a slack behind them: a record that begins before the end runs on into the slack, so no record is ever split
 * and none needs padding. Only a record that crosses a multiple of the capacity uses the slack, and the next to do so can
 * be claimed only after the one before it was released.
 */
export const RING_TAIL = 0;
export const RING_DATA = 1;
export const RING_HEAD = 32;
export const RING_WANT = 64;
export const RING_LOCK = 96;
export const RING_OPEN = 128;
export const RING_HEADER_WORDS = 160;

/** One bit for each loop of an env, loop 0 included. */
export const LOOP_SET_WORDS = 8;

/**
 * A record, 8-aligned, header first:
 *
 * | word | name                | meaning                                                             |
 * |-----:|---------------------|---------------------------------------------------------------------|
 * |    0 | PAYLOAD_BYTES       | length of the payload that follows, without the padding to 8        |
 * |    1 | META                | kind (bits 0–7), codec (8–15), flags (16–31)                        |
 * |    2 | ASK_SLOT            | slot of the ask word, or -1 when nobody waits                       |
 * |    3 | ASK_GENERATION      | generation of the ask word                                          |
 * |    4 | DEADLINE            | env clock, ms, int32; 0 = none                                      |
 * |    5 | ENQUEUED_AT         | env clock, µs, int32 wrapped; stamped once per tick                 |
 * |    6 | SENDER              | index of the sender                                                 |
 * |    7 | ENDPOINT_GENERATION | raised each time the endpoint's id is given to a new endpoint       |
 *
 * Frozen from the first version; every word is written even where nobody reads it yet.
 */
export const RECORD_PAYLOAD_BYTES = 0;
export const RECORD_META = 1;
export const RECORD_ASK_SLOT = 2;
export const RECORD_ASK_GENERATION = 3;
export const RECORD_DEADLINE = 4;
export const RECORD_ENQUEUED_AT = 5;
export const RECORD_SENDER = 6;
export const RECORD_ENDPOINT_GENERATION = 7;
export const RECORD_HEADER_WORDS = 8;
export const RECORD_HEADER_BYTES = RECORD_HEADER_WORDS * 4;
export const RECORD_HEADER_UNITS = RECORD_HEADER_BYTES / UNIT_BYTES;

/**
 * The in-flight table of a loop: COUNT, the entries ever used at once, on a line of its own; then the entries.
 */
export const TABLE_COUNT = 0;
export const TABLE_ENTRIES = LINE_WORDS;

/**
 * An in-flight entry: what a loop has taken and not yet answered. Written by its loop only; read by loop 0.
 *
 * | word | name           | meaning                                                          |
 * |-----:|----------------|------------------------------------------------------------------|
 * |    0 | STATE          | FREE, TAKING, TAKEN in bits 0–1, endpoint id above; publishes 1–7 |
 * |    1 | POSITION       | the record's position in its ring: its Inbox or the mailbox      |
 * |    2 | ASK_SLOT       | as in the record; -1 of a record that came by mailbox            |
 * |    3 | ASK_GENERATION | as in the record                                                 |
 * |    4 | STARTED_AT     | env clock, ms, int32                                             |
 * |    5 | COUNT          | 0, or the value of the one-way counter once it counts this one   |
 * |    6 | KIND           | kind (bits 0–7) and flags (16–31) of the record                  |
 * |    7 | SENDER         | as in the record: the ticket, if flag LARGE or BLOCK is set      |
 */
export const ENTRY_STATE = 0;
export const ENTRY_POSITION = 1;
export const ENTRY_ASK_SLOT = 2;
export const ENTRY_ASK_GENERATION = 3;
export const ENTRY_STARTED_AT = 4;
export const ENTRY_COUNT = 5;
export const ENTRY_KIND = 6;
export const ENTRY_SENDER = 7;
export const ENTRY_WORDS = 8;
export const ENTRY_STATE_BITS = 2;
export const ENTRY_STATE_MASK = 3;

export const EntryState = { FREE: 0, TAKING: 1, TAKEN: 2 } as const;

/**
 * A ready set: leaf words with a bit for each member, and summary words with a bit for each leaf word.
 * 32 leaf words belong to a summary word; capacity is therefore a multiple of 1,024.
 *
 * | offset           | words         | name    | writer                                | readers         |
 * |-----------------:|--------------:|---------|---------------------------------------|-----------------|
 * |                0 | summaryCount  | SUMMARY | producers set after the leaf; consumers clear | consumers |
 * | LINE-aligned     | 32 × the same | LEAF    | producers set; consumers clear        | both            |
 */
export const READY_MEMBERS_PER_SUMMARY = 1_024;

/**
 * The env region: one per env, in its first segment.
 *
 * | offset | words    | name   | writer                                     | readers                    |
 * |-------:|---------:|--------|--------------------------------------------|----------------------------|
 * |      0 |        8 | PARKED | a loop sets its bit; who unparks it clears | producers                  |
 * |     32 |        8 | SPIN   | each loop its own bit; recovery            | producers                  |
 * |     64 | 32 × 256 | BELL   | nobody: always 0                           | waitAsync / notify address |
 */
export const ENV_PARKED = 0;
export const ENV_SPIN = 32;
export const ENV_BELL = 64;

/**
 * The control line of a message loop.
 *
 * | offset | words | name     | writer   | readers | meaning                                               |
 * |-------:|------:|----------|----------|---------|-------------------------------------------------------|
 * |      0 |     1 | STOP     | loop 0   | loop    | 1: end when nothing is left                           |
 * |     32 |     1 | STATUS   | the loop | loop 0  | LoopStatus                                            |
 * |     33 |     1 | ENDPOINT | the loop | loop 0  | id of the endpoint whose handler runs, or 0           |
 * |     34 |     1 | BUSY_MS  | the loop | loop 0  | ms spent in turns that did work                       |
 * |     35 |     1 | DROPPED  | the loop | loop 0  | messages taken after their ask had ended              |
 * |     36 |     1 | LOADING  | the loop | loop 0  | id of the endpoint whose module is imported, or 0     |
 */
export const LOOP_STOP = 0;
export const LOOP_STATUS = 32;
export const LOOP_ENDPOINT = 33;
export const LOOP_BUSY_MS = 34;
export const LOOP_DROPPED = 35;
export const LOOP_LOADING = 36;
export const LOOP_CONTROL_WORDS = 64;

export const LoopStatus = { STARTING: 0, BUSY: 1, SPINNING: 2, PARKED: 3, STOPPED: 4 } as const;

/**
 * Counters of one endpoint on one loop, doubles, a line each; written plainly by that loop, read by loop 0 for
 * statistics only.
 */
export const COUNTER_PROCESSED = 0;
export const COUNTER_FAILED = 1;
export const COUNTER_TAKEN = 2;
/** One-way messages handled. */
export const COUNTER_HANDLED = 3;
export const COUNTER_WORDS = LINE_WORDS;

/**
 * The structure log: record shapes shared by all loops of an env (structure-log.ts).
 *
 * | offset | words | name  | writer | readers   | published by                                                   |
 * |-------:|------:|-------|--------|-----------|----------------------------------------------------------------|
 * |      0 |     1 | COUNT | loop 0 | all loops | itself                                                         |
 * |     32 |     – | DATA  | loop 0 | all loops | COUNT                                                          |
 *
 * DATA holds one entry behind another: the number of keys in a byte, then for each key its length in two bytes, low one
 * first, and its UTF-8 bytes.
 */
export const STRUCTURE_COUNT = 0;
export const STRUCTURE_DATA = LINE_WORDS;

function checkLayout(holds: boolean, rule: string): void {
  if (!holds) throw new Error(`shared memory layout is broken: ${rule}`);
}
checkLayout(RECORD_HEADER_BYTES % UNIT_BYTES === 0, "a record header is a whole number of units");
checkLayout(RING_HEADER_WORDS % LINE_WORDS === 0, "a ring's header is a whole number of lines");
checkLayout(RING_OPEN + LOOP_SET_WORDS <= RING_HEADER_WORDS, "OPEN is part of the header");
checkLayout(ENV_PARKED + LOOP_SET_WORDS <= ENV_SPIN, "PARKED and SPIN do not overlap");
checkLayout(ENV_SPIN + LOOP_SET_WORDS <= ENV_BELL, "SPIN and BELL do not overlap");
