/** The tests of Spark's external shuffle service: what it answers, what it cleans up, and who may ask it. */
import {
  APPLIES,
  but,
  type NetworkEntry,
  type NetworkEntryStatus,
  notApplicable,
  type Row,
  suite,
} from "./network-entry.js";

const PUSH_MERGE = notApplicable("pushed blocks are not merged; such requests are refused");
const SASL = notApplicable("TLS 1.3 takes its place: by a pre-shared key made of `secret`, or by certificates");

/** It runs over TLS as well. */
function integration(encrypted?: NetworkEntryStatus): readonly Row[] {
  const status = encrypted ?? APPLIES;
  return [
    ["testFetchOneSort", "a block of 123 bytes", status],
    ["testFetchThreeSort", "three, up to 1,234,567 bytes", status],
    ["testRegisterWithCustomShuffleManager", "any shuffle manager may register", status],
    ["testFetchWrongBlockId", "an id of another kind fails", status],
    ["testFetchValidRddBlock", "a block of an RDD", status],
    ["testFetchDeletedRddBlock", "one that was deleted fails", status],
    ["testRemoveRddBlocks", "of two removed one was there", status],
    [
      "testFetchCorruptRddBlock",
      "a file that is shorter than its block",
      but("of a shuffle: how long an RDD's block is, only its file says"),
    ],
    ["testFetchNonexistent", "a shuffle that nobody wrote", status],
    ["testFetchWrongExecutor", "the right block comes, that of another executor fails", status],
    ["testFetchUnregisteredExecutor", "all of an executor that did not register fail", status],
    ["testFetchNoServer", "all fail without a service", status],
  ];
}

const CLEANUP = [
  ["WithFilesToKeepFetchRddEnabled", "RDDs included"],
  ["WithFilesToKeepFetchRddDisabled", "without RDDs"],
  ["WithoutFilesToKeep", "of which there is nothing"],
] as const;

export const SHUFFLE_ENTRIES: readonly NetworkEntry[] = [
  ...suite("ShuffleIndexInformationSuite", [["test", "places of partitions, 176 bytes beside the file's", APPLIES]]),
  ...suite("ExternalShuffleBlockResolverSuite", [
    ["testBadRequests", "unknown executors and missing files", APPLIES],
    ["testSortShuffleBlocks", "blocks by index and data file", APPLIES],
    ["jsonSerializationOfExecutorRegistration", "what the store holds, also as older ones wrote it", APPLIES],
  ]),
  ...suite("ExternalBlockHandlerSuite", [
    ["testRegisterExecutor", "is answered and counted", but("there is no merge manager to tell")],
    ["testCompatibilityWithOldVersion", "blocks by their ids", APPLIES],
    ["testFetchShuffleBlocks", "blocks by numbers", APPLIES],
    ["testFetchShuffleBlocksInBatch", "three blocks as one chunk", APPLIES],
    ["testOpenDiskPersistedRDDBlocks", "blocks of RDDs", APPLIES],
    ["testOpenDiskPersistedRDDBlocksWithMissingBlock", "one of them is missing", APPLIES],
    ["testShuffleCorruptionDiagnosisDiskIssue", "the file was damaged", APPLIES],
    ["testShuffleCorruptionDiagnosisNetworkIssue", "the way to the reader did it", APPLIES],
    ["testShuffleCorruptionDiagnosisUnknownIssue", "there is no checksum", APPLIES],
    ["testShuffleCorruptionDiagnosisChecksumVerifyPass", "nothing is wrong", APPLIES],
    ["testShuffleCorruptionDiagnosisUnSupportedAlgorithm", "an algorithm that nobody writes", APPLIES],
    ["testShuffleCorruptionDiagnosisCRC32", "CRC-32", APPLIES],
    ["testShuffleCorruptionDiagnosisCRC32C", "CRC-32C", APPLIES],
    ["testBadMessages", "garbage, and messages for others", APPLIES],
    ["testFinalizeShuffleMerge", "the end of a merge", PUSH_MERGE],
    ["testFetchMergedBlocksMeta", "what was merged", PUSH_MERGE],
    ["testOpenBlocksWithShuffleChunks", "merged blocks by their ids", PUSH_MERGE],
    ["testFetchShuffleChunks", "merged blocks by numbers", PUSH_MERGE],
  ]),
  ...suite("ExternalShuffleCleanupSuite", [
    ["noCleanupAndCleanup", "files go if that is wanted", but("only what executors make in them")],
    ["cleanupUsesExecutor", "when the cleaner runs", APPLIES],
    ["cleanupMultipleExecutors", "of all executors", APPLIES],
    ["cleanupOnlyRemovedApp", "of that application only", APPLIES],
  ]),
  ...suite("CleanupNonShuffleServiceServedFilesSuite", [
    ...CLEANUP.map(
      ([name, what]): Row => [`cleanupOnRemovedExecutor${name}`, `what is handed out stays, ${what}`, APPLIES],
    ),
    ["cleanupUsesExecutorWithFilesToKeep", "when the cleaner runs", APPLIES],
    ["cleanupUsesExecutorWithoutFilesToKeep", "also where nothing stays", APPLIES],
    ...CLEANUP.map(
      ([name, what]): Row => [`cleanupOnlyRemovedExecutor${name}`, `of that executor only, ${what}`, APPLIES],
    ),
    ...CLEANUP.map(
      ([name, what]): Row => [`cleanupOnlyRegisteredExecutor${name}`, `if it registered, ${what}`, APPLIES],
    ),
  ]),
  ...suite("ExternalShuffleIntegrationSuite", integration()),
  ...suite("SslExternalShuffleIntegrationSuite", integration(but("by secret and by certificate"))),
  ...suite("ExternalShuffleSecuritySuite", [
    ["testValid", "the right secret", APPLIES],
    ["testBadAppId", "another application's name", APPLIES],
    ["testBadSecret", "another secret", APPLIES],
    ["testEncryption", "nothing in plaintext", APPLIES],
  ]),
  ...suite("SslExternalShuffleSecuritySuite", [
    ["testValid", "the right certificate", APPLIES],
    ["testBadAppId", "one that names another application", APPLIES],
    ["testBadSecret", "one of another authority", APPLIES],
    ["testEncryption", "none at all", APPLIES],
  ]),
  ...suite("AppIsolationSuite", [
    ["testSaslAppIsolation", "another application's blocks and streams", but("by secret")],
    ["testAuthEngineAppIsolation", "the same", but("by certificate")],
  ]),
  ...suite("SaslIntegrationSuite", [["(all)", "connections that begin with SASL", SASL]]),
  ...suite("ShuffleSecretManagerSuite", [["testMultipleRegisters", "secrets kept by application", SASL]]),
  ...suite("OneForOneBlockPusherSuite", [["(all)", "blocks that are pushed", PUSH_MERGE]]),
  ...suite("ShuffleTransportContextSuite", [["(all)", "threads that finish merges", PUSH_MERGE]]),
  ...suite("RemoteBlockPushResolverSuite", [["(all)", "files of merged blocks", PUSH_MERGE]]),
];
