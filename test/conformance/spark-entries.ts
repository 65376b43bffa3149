/**
 * The tests of Spark's RPC layer, numbered, and what its suites leave open: which of them apply here, and why the others
 * do not. docs/conformance.md is generated from this list and the report of a test run.
 *
 * A test belongs to an entry by the tag in its title: `[spark 9]`, `[gap reply twice]`.
 */

const LOCAL_FORMS = ["on message loops", "on loop 0"] as const;
const PLAIN_FORMS = ["over the network, on message loops", "over the network, on loop 0"] as const;
const SECURE_FORMS = [
  "by secret, on message loops",
  "by secret, on loop 0",
  "by certificate, on message loops",
] as const;
const NETWORK_FORMS = [...PLAIN_FORMS, ...SECURE_FORMS] as const;
/**
 * Where an endpoint can run, and the way to it: every entry that applies is tested in all of them, unless it says why not.
 * "by": over the network, where both sides prove who they are.
 */
export const FORM_NAMES = [...LOCAL_FORMS, ...NETWORK_FORMS] as const;
export type FormName = (typeof FORM_NAMES)[number];

export type EntryStatus =
  | { readonly kind: "applies"; readonly forms: readonly FormName[]; readonly note?: string }
  | { readonly kind: "later"; readonly needs: string }
  | { readonly kind: "not applicable"; readonly why: string };

export interface SparkEntry {
  /** The tag, without brackets. */
  readonly id: string;
  readonly suite: string;
  readonly checks: string;
  readonly status: EntryStatus;
}

const APPLIES: EntryStatus = { kind: "applies", forms: FORM_NAMES };
/** Takes two environments. */
const NETWORK: EntryStatus = { kind: "applies", forms: NETWORK_FORMS };
const SECURITY: EntryStatus = { kind: "applies", forms: SECURE_FORMS };
/** Has no place to run, and no way to it. */
const ADDRESS: EntryStatus = { kind: "applies", forms: LOCAL_FORMS };
const SASL: EntryStatus = {
  kind: "not applicable",
  why: "SASL is Spark's legacy encryption, replaced there and not offered here: TLS 1.3 takes its place",
};

const only = (forms: readonly FormName[], note: string): EntryStatus => ({ kind: "applies", forms, note });

type Row = readonly [number: number, checks: string, status: EntryStatus];

function suite(name: string, rows: readonly Row[]): SparkEntry[] {
  return rows.map(([number, checks, status]) => ({ id: `spark ${number}`, suite: name, checks, status }));
}

export const SPARK_ENTRIES: readonly SparkEntry[] = [
  ...suite("RpcEnvSuite", [
    [1, "send a message locally", APPLIES],
    [2, "send a message remotely", NETWORK],
    [3, "send a RpcEndpointRef", APPLIES],
    [4, "ask a message locally", APPLIES],
    [5, "ask a message remotely", NETWORK],
    [6, "ask a message timeout", APPLIES],
    [7, "ask a message abort", APPLIES],
    [8, "onStart and onStop", APPLIES],
    [9, "onError: error in onStart", APPLIES],
    [10, "onError: error in onStop", APPLIES],
    [11, "onError: error in receive", APPLIES],
    [12, "self: call in onStart", APPLIES],
    [13, "self: call in receive", APPLIES],
    [14, "self: call in onStop", only(FORM_NAMES, "self is null there in Spark; here it is known and refuses")],
    [15, "call receive in sequence", APPLIES],
    [16, "stop(RpcEndpointRef) reentrant", APPLIES],
    [17, "sendWithReply", APPLIES],
    [18, "sendWithReply: remotely", NETWORK],
    [19, "sendWithReply: error", APPLIES],
    [20, "sendWithReply: remotely error", NETWORK],
    [21, "network events in sever RpcEnv when another RpcEnv is in server mode", NETWORK],
    [22, "network events in sever RpcEnv when another RpcEnv is in client mode", NETWORK],
    [23, "network events in client RpcEnv when another RpcEnv is in server mode", NETWORK],
    [24, "sendWithReply: unserializable error", APPLIES],
    [25, "port conflict", NETWORK],
    [26, "send with authentication", SECURITY],
    [27, "send with SASL encryption", SASL],
    [28, "send with AES encryption", only(SECURE_FORMS, "TLS 1.3 here")],
    [29, "ask with authentication", SECURITY],
    [30, "ask with SASL encryption", SASL],
    [31, "ask with AES encryption", only(SECURE_FORMS, "TLS 1.3 here")],
    [32, "construct RpcTimeout with conf property", APPLIES],
    [33, "ask a message timeout on Future using RpcTimeout", APPLIES],
    [34, "file server", NETWORK],
    [35, "SPARK-14699: RpcEnv.shutdown should not fire onDisconnected events", NETWORK],
    [36, "isolated endpoints", APPLIES],
  ]),
  ...suite("NettyRpcEnvSuite", [
    [37, "non-existent endpoint", NETWORK],
    [38, "advertise address different from bind address", NETWORK],
    [39, "RequestMessage serialization", NETWORK],
    [40, "StackOverflowError should be sent back and Dispatcher should survive", APPLIES],
    [41, "SPARK-31233: ask rpcEndpointRef in client mode timeout", NETWORK],
    [42, "SslNettyRpcEnvSuite: all of the above under TLS", only(SECURE_FORMS, "each row has its columns for it")],
  ]),
  ...suite("InboxSuite", [
    [43, "post", APPLIES],
    [44, "post: with reply", APPLIES],
    [45, "post: multiple threads", APPLIES],
    [46, "post: Associated", APPLIES],
    [47, "post: Disassociated", APPLIES],
    [48, "post: AssociationError", APPLIES],
    [49, "SPARK-32738: should reduce the number of active threads when fatal error happens", APPLIES],
  ]),
  ...suite("NettyRpcHandlerSuite", [
    [50, "receive", NETWORK],
    [51, "connectionTerminated", NETWORK],
  ]),
  ...suite("NettyRpcAddressSuite", [
    [52, "toString", ADDRESS],
    [53, "toString for client mode", ADDRESS],
  ]),
  ...suite("RpcAddressSuite", [
    [54, "hostPort", ADDRESS],
    [55, "fromSparkURL", ADDRESS],
    [56, "fromSparkURL: a typo url", ADDRESS],
    [57, "fromSparkURL: invalid scheme", ADDRESS],
    [58, "toSparkURL", ADDRESS],
    [59, "SPARK-39468: IPv6 hostPort", only(LOCAL_FORMS, "the data has no brackets: `host` is what sockets take")],
    [60, "SPARK-39468: IPv6 fromSparkURL", ADDRESS],
    [61, "SPARK-39468: IPv6 toSparkURL", ADDRESS],
    [62, "SPARK-42173: Consistent Sparse Mapping", ADDRESS],
    [63, "SPARK-42173: Consistent Sparse Mapping trailing 0s", ADDRESS],
  ]),
  ...suite("NettyStreamManagerSuite", [[64, "openStream rejects path traversal", NETWORK]]),
];

/** What Spark's suites leave open. */
export const GAP_ENTRIES: readonly SparkEntry[] = (
  [
    ["reply twice", "a second answer to one ask", APPLIES],
    ["late reply", "an answer after the asker has given up", APPLIES],
    ["reply after asker timeout", "an answer after the asker's timeout", APPLIES],
    ["deferred reply from elsewhere", "an answer from outside the ask's own handler", APPLIES],
    ["ask to a stopped name", "what is posted to a stopped endpoint", APPLIES],
    ["name reuse while draining", "a name whose endpoint still handles its backlog", APPLIES],
    ["duplicate name", "two endpoints of one name", APPLIES],
    ["setup after shutdown", "an endpoint for an env that has ended", APPLIES],
    ["send/ask after shutdown", "messages to an env that has ended", APPLIES],
    ["pending asks at shutdown", "no ask outlives its env", APPLIES],
    ["shutdown from inside a handler", "no deadlock", APPLIES],
    ["onStart throwing", "no endpoint is left half started", APPLIES],
    ["unmatched message", "a message without a handler", APPLIES],
    ["per-sender FIFO", "order from one sender to one serial endpoint", APPLIES],
    ["relayed refs", "a reference that travelled through third parties", APPLIES],
    ["concurrent", "a concurrent endpoint is concurrent, its onStop exclusive", APPLIES],
    [
      "worker crash",
      "what a dead thread had taken fails, what it had not taken does not",
      only(["on message loops"], "loop 0 is the main thread: it ends with the process"),
    ],
    ["FIFO across reconnect", "order from one sender over a new connection", NETWORK],
    ["outbox failure", "every message queued for a peer that cannot be reached", NETWORK],
  ] as const satisfies readonly (readonly [string, string, EntryStatus])[]
).map(([name, checks, status]) => ({ id: `gap ${name}`, suite: "gaps", checks, status }));

export const ALL_ENTRIES: readonly SparkEntry[] = [...SPARK_ENTRIES, ...GAP_ENTRIES];
