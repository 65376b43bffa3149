/**
 * The tests of Spark's network layer: which of them apply here, and why the others do not. A test belongs to an entry by the
 * tag in its title: `[net ProtocolSuite.requests]`.
 */

import { APPLIES, but, type NetworkEntry, notApplicable, type Row, suite } from "./network-entry.js";
import { BLOCK_ENTRIES } from "./spark-block-entries.js";
import { SHUFFLE_ENTRIES } from "./spark-shuffle-entries.js";

/** These two run over TLS as well. */
const CHUNK_FETCH: readonly Row[] = [
  ["fetchBufferChunk", "a chunk from memory", APPLIES],
  ["fetchFileChunk", "a chunk from a file", APPLIES],
  ["fetchNonExistentChunk", "a chunk that is not there", APPLIES],
  ["fetchBothChunks", "both", APPLIES],
  ["fetchChunkAndNonExistent", "one, and one that is not there", APPLIES],
];
const CLIENT_FACTORY: readonly Row[] = [
  ["reuseClientsUpToConfigVariable", "no more clients than configured", APPLIES],
  ["reuseClientsUpToConfigVariableConcurrent", "also when all want one at once", APPLIES],
  ["returnDifferentClientsForDifferentServers", "each server has its own", APPLIES],
  ["neverReturnInactiveClients", "a closed client is not handed out", APPLIES],
  ["closeBlockClientsWithFactory", "clients end with their factory", APPLIES],
  ["closeIdleConnectionForRequestTimeOut", "an idle connection ends where that is wanted", APPLIES],
  ["closeFactoryBeforeCreateClient", "a closed factory makes no clients", APPLIES],
  ["fastFailConnectionInTimeWindow", "a failure is remembered for a while", APPLIES],
  ["unlimitedConnectionAndCreationTimeouts", "timeouts switched off", APPLIES],
];

/** Frames and messages. */
const WIRE_ENTRIES: readonly NetworkEntry[] = [
  ...suite("TransportFrameDecoderSuite", [
    ["testFrameDecoding", "100 random frames in random slices arrive as 100 frames, nothing is kept", APPLIES],
    [
      "testConsolidationPerf",
      "frames of 300 MiB in pieces of 32 KiB",
      but("long parts stay where they lie, no thresholds"),
    ],
    [
      "testConsolidationForDecodingNonFullyWrittenByteBuf",
      "receive buffers that are not full do not make a frame hold more memory than it needs",
      APPLIES,
    ],
    ["testInterception", "bytes that are no frames, then a frame", APPLIES],
    ["testRetainedFrames", "frames that are kept stay readable", APPLIES],
    ["testSplitLengthField", "a length that is cut inside its 8 bytes", APPLIES],
    ["testNegativeFrameSize", "a length of -1 is refused", APPLIES],
    ["testEmptyFrame", "a length of 8, a frame of nothing, is refused", APPLIES],
  ]),
  ...suite("ProtocolSuite", [
    ["requests", "requests encode, are framed and decode to themselves", APPLIES],
    ["responses", "responses encode, are framed and decode to themselves", APPLIES],
  ]),
  ...suite("EncodersSuite", [
    ["testRoaringBitmapEncodeDecode", "a bitmap decodes to itself", APPLIES],
    [
      "testRoaringBitmapEncodeShouldFailWhenBufferIsSmall",
      "no bitmap is written beyond the end of a buffer",
      notApplicable("what a message is written to grows as it is written; there is no buffer to be too small"),
    ],
    ["testBitmapArraysEncodeDecode", "several bitmaps, empty ones among them, decode to themselves", APPLIES],
    ["testByteArraysEncodeDecode", "bytes decode to themselves", APPLIES],
    ["testByteArraysDecodeShouldFailWhenLengthIsNegative", "a negative length is refused", APPLIES],
    [
      "testByteArraysDecodeShouldFailWhenLengthExceedsReadableBytes",
      "a length beyond what is left is refused before memory is taken",
      APPLIES,
    ],
  ]),
  ...suite("MessageWithHeaderSuite", [
    ["testSingleWrite", "header and body of a file in one go", APPLIES],
    ["testShortWrite", "header and body of a file through many small writes", APPLIES],
    ["testByteBufBody", "a body of one buffer", APPLIES],
    ["testCompositeByteBufBodySingleBuffer", "a body of a list of one buffer", APPLIES],
    ["testCompositeByteBufBodyMultipleBuffers", "a body of a list of buffers", APPLIES],
    ["testDeallocateReleasesManagedBuffer", "the body is given back once", APPLIES],
  ]),
  ...suite("MergedBlockMetaSuccessSuite", [
    ["testMergedBlocksMetaEncodeDecode", "two bitmaps in a file arrive as they were", APPLIES],
  ]),
  ...suite("EncryptedMessageWithHeaderSuite", [
    ["testInputStreamBodyFromManagedBuffer", "header, then the body in chunks", notApplicable(netty())],
    ["testChunkedStream", "129 bytes in chunks of 64", notApplicable(netty())],
    ["testByteBufBodyFromManagedBuffer", "header, then a buffer", notApplicable(netty())],
  ]),
  ...suite("SslMessageEncoderSuite", [
    ["testNettyManagedBufferBodyIsReleasedAfterEncoding", "reference counts", notApplicable(netty())],
  ]),
];

/** Connections: requests, chunks, streams, pools. */
const TRANSPORT_ENTRIES: readonly NetworkEntry[] = [
  ...suite("RpcIntegrationSuite", [
    ["singleRPC", "a request is answered", APPLIES],
    ["doubleRPC", "two are", APPLIES],
    ["returnErrorRPC", "an error that is returned arrives", APPLIES],
    ["throwErrorRPC", "an error that is thrown arrives", APPLIES],
    ["doubleTrouble", "both over one connection", APPLIES],
    ["sendSuccessAndFailure", "answers and errors mixed", APPLIES],
    ["sendOneWayMessage", "a one-way message arrives, nothing is outstanding", APPLIES],
    ["sendRpcWithStreamOneAtATime", "uploads large, small, empty, and from a file", APPLIES],
    ["sendRpcWithStreamConcurrently", "ten uploads back to back", APPLIES],
    ["sendRpcWithStreamFailures", "what fails in onData, in onComplete, without a receiver", APPLIES],
  ]),
  ...suite("ChunkFetchIntegrationSuite", CHUNK_FETCH),
  ...suite("SslChunkFetchIntegrationSuite", CHUNK_FETCH),
  ...suite("ChunkFetchRequestHandlerSuite", [
    ["handleChunkFetchRequest", "chunks, a missing one, too many under way", APPLIES],
  ]),
  ...suite("StreamSuite", [
    ["testZeroLengthStream", "a stream without bytes", APPLIES],
    ["testSingleStream", "a large one", APPLIES],
    ["testMultipleStreams", "twenty one after the other", APPLIES],
    ["testConcurrentStreams", "twenty at once", APPLIES],
  ]),
  ...suite("RequestTimeoutIntegrationSuite", [
    ["timeoutInactiveRequests", "an unanswered request fails after the connection timeout", APPLIES],
    ["timeoutCleanlyClosesClient", "the factory then makes a new client", APPLIES],
    ["furtherRequestsDelay", "later requests put the timeout off", APPLIES],
  ]),
  ...suite("TransportClientFactorySuite", CLIENT_FACTORY),
  ...suite("SslTransportClientFactorySuite", CLIENT_FACTORY),
  ...suite("TransportClientSuite", [
    [
      "isActiveFalseWhenEventLoopIsShuttingDown",
      "a client whose event loop ends",
      notApplicable("connections have no event loops of their own"),
    ],
  ]),
  ...suite("TransportRequestHandlerSuite", [
    ["handleStreamRequest", "streams, a missing one, too many under way", APPLIES],
    ["handleMergedBlockMetaRequest", "meta of merged blocks, or a failure", APPLIES],
  ]),
  ...suite("TransportResponseHandlerSuite", [
    ["handleSuccessfulFetch", "a chunk reaches its callback", APPLIES],
    ["handleFailedFetch", "a failure, too", APPLIES],
    ["clearAllOutstandingRequests", "the end of the connection fails what is left", APPLIES],
    ["handleSuccessfulRPC", "an answer; one to nothing is ignored", APPLIES],
    ["handleFailedRPC", "a failure; one of nothing is ignored", APPLIES],
    ["testActiveStreams", "a stream is outstanding until its end", APPLIES],
    ["failOutstandingStreamCallbackOnClose", "a stream that was not begun", APPLIES],
    ["failOutstandingStreamCallbackOnException", "a stream under way", APPLIES],
    ["handleSuccessfulMergedBlockMeta", "meta of merged blocks", APPLIES],
    ["handleFailedMergedBlockMeta", "its failure", APPLIES],
  ]),
  ...suite("OneForOneStreamManagerSuite", [
    ["testMissingChunk", "null elements; what was not read is released", APPLIES],
    ["managedBuffersAreFreedWhenConnectionIsClosed", "buffers are released with their connection", APPLIES],
    [
      "streamStatesAreFreedWhenConnectionIsClosedEvenIfBufferIteratorThrowsException",
      "also when an iterator throws",
      APPLIES,
    ],
  ]),
];

const REFUSED = but("refused by name: `tls` takes its place");

/** Settings. */
const CONF_ENTRIES: readonly NetworkEntry[] = [
  ...suite("TransportConfSuite", [
    ["testKeyStorePath", "spark.ssl.rpc.keyStore", REFUSED],
    ["testPrivateKeyPath", "spark.ssl.rpc.privateKey", REFUSED],
    ["testCertChainPath", "spark.ssl.rpc.certChain", REFUSED],
    ["testTrustStorePath", "spark.ssl.rpc.trustStore", REFUSED],
    ["testTrustStoreReloadingEnabled", "spark.ssl.rpc.trustStoreReloadingEnabled", REFUSED],
    ["testOpenSslEnabled", "spark.ssl.rpc.openSslEnabled", REFUSED],
    ["testSslRpcEnabled", "spark.ssl.rpc.enabled", but("true is refused by name, false asks for nothing")],
    ["testSslKeyStorePassword", "spark.ssl.rpc.keyStorePassword", REFUSED],
    ["testSslKeyPassword", "spark.ssl.rpc.keyPassword", REFUSED],
    ["testSslTrustStorePassword", "spark.ssl.rpc.trustStorePassword", REFUSED],
    ["testSsltrustStoreReloadIntervalMs", "spark.ssl.rpc.trustStoreReloadIntervalMs", REFUSED],
    ["testDefaultIOMode", "the module's key beats spark.io.mode.default beats NIO", but("read, and without effect")],
    [
      "testRequireAuthForStreamRequests",
      "a switch of Spark 3.5, off by default",
      notApplicable("nothing is read before a peer has proved who it is; there is nothing to switch off"),
    ],
  ]),
];

/** Spark's own protocols for proofs and encryption. */
const SECURITY_ENTRIES: readonly NetworkEntry[] = [
  ...suite("AuthEngineSuite", [["(all)", "Spark's key exchange, versions 1 and 2", notApplicable(tls())]]),
  ...suite("AuthMessagesSuite", [["(all)", "its messages", notApplicable(tls())]]),
  ...suite("AuthIntegrationSuite", [["(all)", "connections that begin with it", notApplicable(tls())]]),
  ...suite("AbstractAuthRpcHandlerSuite", [["(all)", "no streams before it is done", notApplicable(tls())]]),
  ...suite("TransportCipherSuite", [["(all)", "AES below the frames", notApplicable(tls())]]),
  ...suite("CryptoUtilsSuite", [["(all)", "settings of the library for it", notApplicable(tls())]]),
  ...suite("SparkSaslSuite", [["(all)", "SASL, which came before it", notApplicable(tls())]]),
  ...suite("SSLFactorySuite", [["(all)", "Java's key stores", notApplicable("keys and certificates are PEM")]]),
  ...suite("ReloadingX509TrustManagerSuite", [
    ["(all)", "trust stores that are read again when they change", notApplicable("`tls` is read once, as PEM")],
  ]),
];

export const NETWORK_ENTRIES: readonly NetworkEntry[] = [
  ...WIRE_ENTRIES,
  ...TRANSPORT_ENTRIES,
  ...CONF_ENTRIES,
  ...SECURITY_ENTRIES,
  ...BLOCK_ENTRIES,
  ...SHUFFLE_ENTRIES,
];

function tls(): string {
  return "TLS 1.3 takes its place: by a pre-shared key made of `secret`, or by certificates";
}

function netty(): string {
  return "how Netty's TLS handler is fed; Node's TLS sockets take what plain ones take";
}
