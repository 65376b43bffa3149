/**
 * BlockTransferService: an executor's side of block transfer, both halves: it hands out the blocks of its store and takes
 * those that others upload, and it fetches from and uploads to others.
 *
 *     fetchBlocks, uploadBlock … ──► client factory ══════► BlockRpcHandler ──► BlockDataManager
 *                                    (connections of         (server)
 *                                     its own)
 *
 * The halves share nothing but clock, security and logger: whoever this one connects to cannot ask it anything over that
 * connection. Blocks and messages of environments never share a connection either.
 *
 * State     | serves | fetches | ends by
 * ----------|--------|---------|-------------------------------------------------------------------
 * LISTENING | yes    | yes     | close
 * CLOSED    | no     | no      | – (what was outstanding has failed, streams were given back)
 */

import { BLOCK_REQUEST_BYTES_MAX } from "../common/block-limits.js";
import { checkMethods, checkOptions, checkText, type OptionKeys, shown } from "../common/check-options.js";
import { type Clock, monotonicMs, systemClock } from "../common/clock.js";
import { RpcError } from "../common/errors.js";
import { FRAME_BYTES_MAX } from "../common/limits.js";
import type { RpcConf, RpcConfValues } from "../common/rpc-conf.js";
import type { CertificateOptions } from "../network/certificate-credentials.js";
import { createSecurity } from "../network/create-security.js";
import { checkManagedBuffer, type ManagedBuffer } from "../network/managed-buffer.js";
import { NoOpRpcHandler } from "../network/no-op-rpc-handler.js";
import type { Secret } from "../network/secret.js";
import { TransportConf } from "../network/transport-conf.js";
import { TransportContext } from "../network/transport-context.js";
import type { TransportLogger } from "../network/transport-logger.js";
import type { PeerAddress } from "../network/transport-security.js";
import type { TransportServer } from "../network/transport-server.js";
import type { BlockDataManager } from "./block-data-manager.js";
import { BlockFetches } from "./block-fetches.js";
import type { BlockFetchingListener } from "./block-fetching-listener.js";
import { BlockRpcHandler } from "./block-rpc-handler.js";
import {
  askForBlocks,
  BlockStoreClient,
  type BlockStoreClientParts,
  callbackOf,
  tellForBlocks,
  unexpectedAnswer,
} from "./block-store-client.js";
import { encodeBlockTransferMessage } from "./block-transfer-codec.js";
import { BlockTransferMessageType as Type } from "./block-transfer-messages.js";
import type { DownloadFileManager } from "./download-file-manager.js";

export interface BlockTransferServiceOptions {
  /** The application; `ringpost` by default. Whoever proves to belong to another one gets nothing. */
  readonly appId?: string;
  /** What this executor is called, by those who ask for its blocks, too. */
  readonly execId: string;
  readonly blockDataManager: BlockDataManager;
  /** 127.0.0.1 by default; beyond this machine only with `secret` or `tls`. */
  readonly host?: string;
  /** 0, any free one, by default. */
  readonly port?: number;
  /** Those of module `shuffle`, and `maxRemoteBlockSizeFetchToMem`. */
  readonly conf?: RpcConf | RpcConfValues;
  readonly secret?: Secret | readonly Secret[];
  readonly tls?: CertificateOptions;
  readonly logger?: TransportLogger;
  /**
   * Asked when an executor cannot be reached: one that is dead is not tried again. By default all are tried again, and so is
   * one of which it throws or rejects.
   */
  readonly isExecutorAlive?: (execId: string) => boolean | Promise<boolean>;
  /** The real one by default. */
  readonly clock?: Clock;
}

export interface BlockTransferStats {
  /** Connections of the server that are open. */
  readonly connections: number;
  /** Connections that were turned away. */
  readonly refused: number;
  /** Streams that were opened here and not fetched to their end. */
  readonly openStreams: number;
}

const OPTION_KEYS: OptionKeys<BlockTransferServiceOptions> = {
  appId: true,
  execId: true,
  blockDataManager: true,
  host: true,
  port: true,
  conf: true,
  secret: true,
  tls: true,
  logger: true,
  isExecutorAlive: true,
  clock: true,
};
const BLOCK_DATA_MANAGER_METHODS: readonly (keyof BlockDataManager)[] = [
  "getLocalBlockData",
  "putBlockData",
  "putBlockDataAsStream",
  "getLocalDiskDirs",
];
const APP_ID_DEFAULT = "ringpost";
const NO_METADATA = new Uint8Array(0);
/** These are uploaded as streams, whatever their size, as in Spark. */
const SHUFFLE_BLOCK = /^shuffle_\d+_\d+_\d+(_\d+|\.data|\.index)?$/;

interface Running {
  readonly appId: string;
  readonly handler: BlockRpcHandler;
  readonly server: TransportServer;
  readonly factory: BlockStoreClientParts["factory"];
  readonly fetches: BlockFetches;
  readonly uploadedWholeBytesMax: number;
}

export class BlockTransferService extends BlockStoreClient {
  readonly #running: Running;
  #closed: Promise<void> | null = null;

  private constructor(running: Running) {
    super();
    this.#running = running;
  }

  /**
   * A service that listens.
   * Rejects with ERR_RPC_INVALID_ARGUMENT for an option that cannot be, ERR_RPC_BIND, ERR_RPC_INSECURE_BIND.
   */
  static async create(options: BlockTransferServiceOptions): Promise<BlockTransferService> {
    checkOptions("BlockTransferService.create", options, OPTION_KEYS);
    const { appId = APP_ID_DEFAULT, execId, blockDataManager, host, port, logger } = options;
    checkText("execId", execId);
    checkMethods("blockDataManager", blockDataManager, BLOCK_DATA_MANAGER_METHODS);
    if (options.isExecutorAlive !== undefined && typeof options.isExecutorAlive !== "function") {
      throw invalid(`isExecutorAlive must be a function: isExecutorAlive=${shown(options.isExecutorAlive)}`);
    }
    const clock = options.clock ?? systemClock(monotonicMs());
    const settings = new TransportConf("shuffle", options.conf ?? {});
    const uploadedWholeBytesMax = settings.maxRemoteBlockSizeFetchToMemBytes;
    const shared = {
      clock,
      security: createSecurity({ secret: options.secret, tls: options.tls, appId }, clock),
      ...(logger === undefined ? {} : { logger }),
    };
    const handler = new BlockRpcHandler({ appId, execId, blocks: blockDataManager, random: clock.random });
    // Whoever uploads more than this at once would have sent a stream; and the rest of an upload is ids and metadata.
    const frameBytesMax = Math.min(FRAME_BYTES_MAX, uploadedWholeBytesMax + BLOCK_REQUEST_BYTES_MAX);
    const serving = new TransportContext({
      ...shared,
      rpcHandler: handler,
      settings: { ...settings, frameBytesMax },
    });
    const server = await serving.createServer({
      ...(host === undefined ? {} : { host }),
      ...(port === undefined ? {} : { port }),
    });
    const asking = new TransportContext({ ...shared, rpcHandler: new NoOpRpcHandler(), settings });
    const factory = asking.createClientFactory();
    const fetches = new BlockFetches({
      factory,
      conf: settings,
      useOldFetchProtocol: settings.useOldFetchProtocol,
      clock,
      ...(logger === undefined ? {} : { logger }),
      ...(options.isExecutorAlive === undefined ? {} : { isExecutorAlive: options.isExecutorAlive }),
    });
    return new BlockTransferService({ appId, handler, server, factory, fetches, uploadedWholeBytesMax });
  }

  /** Where it listens. */
  get address(): PeerAddress {
    return this.#running.server.address;
  }

  get stats(): BlockTransferStats {
    const { server, handler } = this.#running;
    return {
      connections: server.connectionCount,
      refused: server.refusedCount,
      openStreams: handler.streamCount,
    };
  }

  protected get parts(): BlockStoreClientParts {
    if (this.#closed !== null) {
      throw new RpcError("ERR_RPC_CONNECT", "this BlockTransferService is closed", { retryable: false });
    }
    return this.#running;
  }

  fetchBlocks(
    host: string,
    port: number,
    execId: string,
    blockIds: readonly string[],
    listener: BlockFetchingListener,
    downloadFileManager: DownloadFileManager | null = null,
  ): void {
    const { appId } = this.parts;
    this.#running.fetches.start({ appId, host, port, execId, blockIds, listener, downloadFileManager });
  }

  /**
   * Has another executor keep a block: in one message, or as a stream where it is longer than `maxRemoteBlockSizeFetchToMem`
   * or a shuffle block. `data` is released when it was sent, or could not be.
   *
   * @param metadata how it is to be kept, opaque; nothing by default.
   * Rejects with ERR_RPC_INVALID_ARGUMENT for `data` that is no ManagedBuffer and ids that are no text, ERR_RPC_HANDLER and the
   * peer's text when it was not kept, ERR_RPC_CONNECT, ERR_RPC_CONNECTION_LOST. It is not tried again: whoever uploads knows
   * better whether another executor would do.
   */
  async uploadBlock(
    host: string,
    port: number,
    execId: string,
    blockId: string,
    data: ManagedBuffer,
    metadata: Uint8Array = NO_METADATA,
  ): Promise<void> {
    checkManagedBuffer("data", data);
    let isHandedOver = false;
    try {
      const { appId, factory } = this.parts;
      checkText("execId", execId);
      checkText("blockId", blockId);
      if (!(metadata instanceof Uint8Array))
        throw invalid(`metadata must be a Uint8Array: metadata=${shown(metadata)}`);
      const client = await factory.createClient(host, port);
      if (data.size <= this.#running.uploadedWholeBytesMax && !SHUFFLE_BLOCK.test(blockId)) {
        const blockData = await data.bytes();
        await tellForBlocks(client, { type: Type.UPLOAD_BLOCK, appId, execId, blockId, metadata, blockData });
        return;
      }
      const meta = encodeBlockTransferMessage({ type: Type.UPLOAD_BLOCK_STREAM, blockId, metadata });
      isHandedOver = true;
      await new Promise<void>((resolve, reject) => {
        client.uploadStream(
          meta,
          data,
          callbackOf(() => {}, resolve, reject),
        );
      });
    } finally {
      if (!isHandedOver) data.release();
    }
  }

  /** Has another executor forget blocks. @returns How many of them it had. Rejects as `getHostLocalDirs`. */
  async removeBlocks(host: string, port: number, execId: string, blockIds: readonly string[]): Promise<number> {
    const { appId, factory } = this.parts;
    const client = await factory.createClient(host, port);
    const answer = await askForBlocks(client, { type: Type.REMOVE_BLOCKS, appId, execId, blockIds });
    if (answer.type === Type.BLOCKS_REMOVED) return answer.numRemovedBlocks;
    throw unexpectedAnswer(answer);
  }

  /** Stops listening and ends all connections; what is outstanding fails. Resolves when all are gone. */
  close(): Promise<void> {
    this.#closed ??= (async () => {
      this.#running.handler.close();
      this.#running.fetches.close();
      this.#running.factory.close();
      await this.#running.server.close();
    })();
    return this.#closed;
  }
}

function invalid(text: string): RpcError {
  return new RpcError("ERR_RPC_INVALID_ARGUMENT", text);
}
