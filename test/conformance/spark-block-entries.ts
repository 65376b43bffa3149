/** The tests of Spark's block transfer: its messages, fetchers, retries, and the files that blocks are received into. */
import { APPLIES, but, type NetworkEntry, notApplicable, suite } from "./network-entry.js";

export const BLOCK_ENTRIES: readonly NetworkEntry[] = [
  ...suite("BlockTransferMessagesSuite", [
    ["serializeOpenShuffleBlocks", "requests and StreamHandle decode to themselves", APPLIES],
    ["testLocalDirsMessages", "directories of one and of two executors decode to themselves", APPLIES],
  ]),
  ...suite("FetchShuffleBlocksSuite", [
    ["testFetchShuffleBlockEncodeDecode", "two blocks take 50 bytes and decode to themselves", APPLIES],
  ]),
  ...suite("FetchShuffleBlockChunksSuite", [
    ["testFetchShuffleBlockChunksEncodeDecode", "two chunks take 49 bytes and decode to themselves", APPLIES],
    ["testDecodeRejectsCountExceedingReceivedBytes", "a count beyond what is left is refused", APPLIES],
  ]),
  ...suite("OneForOneBlockFetcherSuite", [
    ["testFetchOne", "one block, without bytes", APPLIES],
    ["testUseOldProtocol", "by its id, where that is wanted", APPLIES],
    ["testFetchThreeShuffleBlocks", "three blocks of a map in one request", APPLIES],
    ["testBatchFetchThreeShuffleBlocks", "three reducers as one block", APPLIES],
    ["testFetchThree", "other blocks by their ids", APPLIES],
    ["testFailure", "a chunk fails, and those behind it", APPLIES],
    ["testFailureAndSuccess", "one behind it comes after all", APPLIES],
    ["testEmptyBlockFetch", "no blocks are refused", APPLIES],
    ["testFetchShuffleBlocksOrder", "maps in the order in which they were asked for", APPLIES],
    ["testBatchFetchShuffleBlocksOrder", "batches, too", APPLIES],
    ["testShuffleBlockChunksFetch", "chunks of merged blocks", APPLIES],
    ["testShuffleBlockChunkFetchFailure", "one of them fails", APPLIES],
    ["testInvalidShuffleBlockIds", "ids with another number of parts are refused", APPLIES],
  ]),
  ...suite("RetryingBlockTransferorSuite", [
    ["testNoFailures", "nothing is asked for twice", APPLIES],
    ["testUnrecoverableFailure", "what a peer answers is not retried, the other block comes", APPLIES],
    ["testSingleIOExceptionOnFirst", "both blocks are asked for again", APPLIES],
    ["testSingleIOExceptionOnSecond", "only what has not come is", APPLIES],
    ["testTwoIOExceptions", "two retries", APPLIES],
    ["testThreeIOExceptions", "the third error is the last", APPLIES],
    ["testRetryAndUnrecoverable", "a retry, then an answer that is the last word", APPLIES],
    ["testRetryInitiationFailure", "a retry that cannot begin fails its block at once", but("after `stop`")],
    ["testSaslTimeoutFailure", "a proof that fails is not retried", but("ERR_RPC_AUTH")],
    ["testRetryOnSaslTimeout", "unless that is wanted", notApplicable(sasl())],
    ["testRepeatedSaslRetryFailures", "not for ever", notApplicable(sasl())],
    ["testBlockTransferFailureAfterSasl", "counted apart from other retries", notApplicable(sasl())],
    ["testIOExceptionFailsConnectionEvenWithSaslException", "also when both are mixed", notApplicable(sasl())],
  ]),
  ...suite("ErrorHandlerSuite", [
    ["testErrorRetry", "stale chunks are not fetched again", but("of fetches; nothing here pushes blocks")],
    ["testErrorLogging", "nor logged", but("of fetches; nothing here pushes blocks")],
  ]),
  ...suite("SimpleDownloadFileSuite", [
    ["testChannelIsClosedAfterCloseAndRead", "a file that is read is not written any more", APPLIES],
  ]),
];

function sasl(): string {
  return "a connection proves who it is while it is made; one that is made cannot time out over it";
}
