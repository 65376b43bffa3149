/**
 * Guards against pitfalls outside of the protocol, which no schedule shows: each taken out of the compiled package (or
 * the bug put in, where the guard is that there is no such code), with the test that must then fail.
 */
export interface Guard {
  readonly name: string;
  /** Number in the table of pitfalls. */
  readonly pitfall: number;
  /** File in dist/src. */
  readonly file: string;
  /** Text of that file; must occur exactly once. */
  readonly find: string;
  readonly replace: string;
  /** Test file, and the start of the title of the test that fails. */
  readonly test: string;
  readonly title: string;
}

const COSTS = "test/integration/costs.test.ts";

export const GUARDS: readonly Guard[] = [
  {
    name: "decodes shared memory",
    pitfall: 1,
    file: "rpc/codec.js",
    find: '    assert(!types.isSharedArrayBuffer(source.buffer), "a message is decoded from private memory");\n',
    replace: "",
    test: "test/unit/rpc/codec-garbage.test.ts",
    title: "shared memory is never decoded from",
  },
  {
    name: "decoded bytes alias the scratch",
    pitfall: 2,
    file: "rpc/value-reader.js",
    find: "copyBuffers: true })",
    replace: "copyBuffers: false })",
    test: "test/unit/rpc/codec.test.ts",
    title: "alone and inside",
  },
  {
    name: "decoded bytes beside records alias the scratch",
    pitfall: 2,
    file: "rpc/value-reader.js",
    find: "copyBuffers: true, trusted",
    replace: "copyBuffers: false, trusted",
    test: "test/unit/rpc/codec.test.ts",
    title: "alone and inside",
  },
  {
    name: "an environment that does not hold its process",
    pitfall: 5,
    file: "env/rpc-env.js",
    find: "() => this.#keepAlive.refresh(), KEEP_ALIVE_MS)",
    replace: "() => this.#keepAlive.refresh(), KEEP_ALIVE_MS).unref()",
    test: "test/integration/process.test.ts",
    title: "lives while its environment does, also one without endpoints",
  },
  {
    name: "armed twice",
    pitfall: 6,
    file: "inbox/parking.js",
    find: "        if (!this.#armed) {\n",
    replace: "        {\n",
    test: COSTS,
    title: "waiters are armed one at a time",
  },
  {
    name: "armed with a timeout",
    pitfall: 6,
    file: "inbox/atomics.js",
    find: "waitAsync(words, index, 0);",
    replace: "waitAsync(words, index, 0, 60_000);",
    test: COSTS,
    title: "waiters are armed one at a time",
  },
  {
    name: "no slack behind the ring",
    pitfall: 10,
    file: "inbox/ring.js",
    find: " capacityBytes + inlineRecordBytesMax(capacityBytes) + RECORD_HEADER_BYTES;",
    replace: " capacityBytes;",
    test: "test/property/ring.test.ts",
    title: "a ring gives back what was published",
  },
  {
    name: "everybody notifies",
    pitfall: 11,
    file: "inbox/parking.js",
    find: `        if ((load(this.#words, word) & bit) === 0)
            return false;
        if ((and(this.#words, word, ~bit) & bit) === 0)
            return false;
        notify(`,
    replace: "        and(this.#words, word, ~bit);\n        notify(",
    test: "test/unit/inbox/parking.test.ts",
    title: "that sleeps is rung once",
  },
  {
    name: "payloads from an odd address",
    pitfall: 12,
    file: "inbox/record.js",
    find: "            segment.longs.set(this.#views[(length + 7) >> 3], payload >> 1);\n",
    replace: `            const odd = new Uint8Array(length + 1);
            odd.set(bytes.subarray(0, length), 1);
            segment.bytes.set(odd.subarray(1), payload * 4);
`,
    test: COSTS,
    title: "shared memory is copied between 8-aligned places",
  },
  {
    name: "shared memory for each message",
    pitfall: 13,
    file: "inbox/inbox.js",
    find: "    writeToRing(record) {\n",
    replace: "    writeToRing(record) {\n        new SharedArrayBuffer(8);\n",
    test: COSTS,
    title: "no shared memory is allocated",
  },
  {
    name: "spill without a bound",
    pitfall: 14,
    file: "inbox/spill-queue.js",
    find: "this.messages < this.limits.messagesMax &&",
    replace: "true &&",
    test: "test/unit/inbox/spill-queue.test.ts",
    title: "of messages",
  },
  {
    name: "control words of 64 bits",
    pitfall: 15,
    file: "inbox/atomics.js",
    find: "    return Atomics.load(words, index);",
    replace: "    Atomics.load(new BigInt64Array(words.buffer, 0, 1), 0);\n    return Atomics.load(words, index);",
    test: COSTS,
    title: "control words are 32-bit integers",
  },
  {
    name: "a port for each endpoint",
    pitfall: 15,
    file: "dispatcher/main-loop-memory.js",
    find: "    pinnedProducer(endpoint, ring, loop, regions, writer, budget) {\n",
    replace:
      "    pinnedProducer(endpoint, ring, loop, regions, writer, budget) {\n        new MessageChannel().port1.onmessage = () => {};\n",
    test: COSTS,
    title: "endpoints share the ports",
  },
  {
    name: "a turn without a bound in time",
    pitfall: 7,
    file: "common/limits.js",
    find: "export const TURN_MS = 1;",
    replace: "export const TURN_MS = 1_000;",
    test: "test/integration/turns.test.ts",
    title: "timers and sockets of a loop wait for a message or two",
  },
  {
    name: "deadlines by the clock of an earlier message",
    pitfall: 7,
    file: "dispatcher/handler-runner.js",
    find: "deadline !== 0 && ((nowMs - deadline) | 0) >= 0",
    replace: "deadline !== 0 && ((nowMs - 40 - deadline) | 0) >= 0",
    test: "test/integration/turns.test.ts",
    title: "an ask whose deadline passes behind another message",
  },
];
