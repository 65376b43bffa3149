/**
 * BlockStoreClient: what can be asked of whoever hands out blocks, an executor's BlockTransferService or a shuffle service.
 * How blocks are fetched is the subclass's affair; what both answer in the same way is here.
 */
import { RpcError } from "../common/errors.js";
import type { RpcResponseCallback } from "../network/callbacks.js";
import type { ManagedBuffer } from "../network/managed-buffer.js";
import type { TransportClient } from "../network/transport-client.js";
import type { TransportClientFactory } from "../network/transport-client-factory.js";
import type { BlockFetchingListener } from "./block-fetching-listener.js";
import { decodeBlockTransferMessage, encodeBlockTransferMessage } from "./block-transfer-codec.js";
import {
  type BlockTransferMessage,
  BlockTransferMessageType,
  type Cause,
  type DiagnoseCorruption,
} from "./block-transfer-messages.js";
import type { DownloadFileManager } from "./download-file-manager.js";

/** What is asked with: whose blocks, over whose connections. */
export interface BlockStoreClientParts {
  readonly appId: string;
  readonly factory: TransportClientFactory;
}

/** A shuffle block whose checksum is wrong, and what its reader computed. */
export type CorruptBlock = Pick<DiagnoseCorruption, "shuffleId" | "mapId" | "reduceId" | "checksum" | "algorithm">;

export abstract class BlockStoreClient {
  /** Throws ERR_RPC_INVALID_ARGUMENT before it is ready, and ERR_RPC_CONNECT after it was closed. */
  protected abstract get parts(): BlockStoreClientParts;

  /**
   * Fetches blocks of an executor; what becomes of each is told to the listener, on this thread, never before this returns.
   * @param execId whose blocks they are, as the one who is asked calls him.
   * @param downloadFileManager makes the files that blocks are received into; null, the default: they are received into memory.
   * Throws ERR_RPC_INVALID_ARGUMENT without ids, for those that are no texts, and without a listener. Everything else is told to
   * the listener, a host and a port that cannot be included.
   */
  abstract fetchBlocks(
    host: string,
    port: number,
    execId: string,
    blockIds: readonly string[],
    listener: BlockFetchingListener,
    downloadFileManager?: DownloadFileManager | null,
  ): void;

  /** Ends its connections; what is outstanding fails. */
  abstract close(): void | Promise<void>;

  /**
   * Fetches one block.
   * @returns Its bytes, which the caller releases once when he does not need them any more.
   * Rejects with what the listener of `fetchBlocks` is told.
   */
  fetchBlock(
    host: string,
    port: number,
    execId: string,
    blockId: string,
    downloadFileManager: DownloadFileManager | null = null,
  ): Promise<ManagedBuffer> {
    return new Promise((resolve, reject) => {
      const listener: BlockFetchingListener = {
        onBlockFetchSuccess: (_blockId, data) => resolve(data.retain()),
        onBlockFetchFailure: (_blockId, error) => reject(error),
      };
      this.fetchBlocks(host, port, execId, [blockId], listener, downloadFileManager);
    });
  }

  /**
   * Where executors keep their files, on the machine of the one who is asked.
   * Rejects with ERR_RPC_CONNECT, ERR_RPC_CONNECTION_LOST, ERR_RPC_HANDLER with what the peer says, ERR_RPC_PROTOCOL.
   */
  async getHostLocalDirs(
    host: string,
    port: number,
    execIds: readonly string[],
  ): Promise<ReadonlyMap<string, readonly string[]>> {
    const { appId, factory } = this.parts;
    const client = await factory.createClient(host, port);
    const type = BlockTransferMessageType.GET_LOCAL_DIRS_FOR_EXECUTORS;
    const answer = await askForBlocks(client, { type, appId, execIds });
    if (answer.type === BlockTransferMessageType.LOCAL_DIRS_FOR_EXECUTORS) return answer.localDirsByExec;
    throw unexpectedAnswer(answer);
  }

  /** Where a shuffle block was damaged. As in Spark nobody is troubled by a failure to find out: UNKNOWN_ISSUE. */
  async diagnoseCorruption(host: string, port: number, execId: string, block: CorruptBlock): Promise<Cause> {
    const { appId, factory } = this.parts;
    const type = BlockTransferMessageType.DIAGNOSE_CORRUPTION;
    try {
      const client = await factory.createClient(host, port);
      const answer = await askForBlocks(client, { type, appId, execId, ...block });
      return answer.type === BlockTransferMessageType.CORRUPTION_CAUSE ? answer.cause : "UNKNOWN_ISSUE";
    } catch {
      return "UNKNOWN_ISSUE";
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Sends a message of block transfer. Rejects as `sendRpc`, and with ERR_RPC_PROTOCOL for an answer that is none. */
export function askForBlocks(client: TransportClient, message: BlockTransferMessage): Promise<BlockTransferMessage> {
  return sendForBlocks(client, message, (response) => decodeBlockTransferMessage(response));
}

/** Sends a message whose answer is only that it was done. Rejects as `sendRpc`. */
export function tellForBlocks(client: TransportClient, message: BlockTransferMessage): Promise<void> {
  return sendForBlocks(client, message, () => {});
}

function sendForBlocks<T>(
  client: TransportClient,
  message: BlockTransferMessage,
  read: (response: Uint8Array) => T,
): Promise<T> {
  return new Promise((resolve, reject) => {
    client.sendRpc(encodeBlockTransferMessage(message), callbackOf(read, resolve, reject));
  });
}

/** An answer's end as that of a promise. The answer is read while it is valid. */
export function callbackOf<T>(
  read: (response: Uint8Array) => T,
  resolve: (value: T) => void,
  reject: (error: unknown) => void,
): RpcResponseCallback {
  return {
    onSuccess(response) {
      try {
        resolve(read(response));
      } catch (error) {
        reject(error);
      }
    },
    onFailure: reject,
  };
}

export function unexpectedAnswer(answer: BlockTransferMessage): RpcError {
  return new RpcError("ERR_RPC_PROTOCOL", `the peer's answer is a message of another type: type=${answer.type}`);
}
