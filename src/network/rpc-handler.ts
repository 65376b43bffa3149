/**
 * RpcHandler: what a server, or the serving half of a client's connection, does with what it is asked.
 */
import { RpcError } from "../common/errors.js";
import type { StreamCallbackWithID } from "./callbacks.js";
import type { MergedBlockMetaRequest } from "./messages.js";
import type { RpcReply } from "./rpc-reply.js";
import type { StreamManager } from "./stream-manager.js";
import type { TransportClient } from "./transport-client.js";

/** Thrown by an upload's `onComplete` or by `receiveStream`: an answer that is not a failure, although nothing was kept. */
export class BlockPushNonFatalFailure extends Error {
  readonly response: Uint8Array;

  constructor(response: Uint8Array, message: string) {
    super(message);
    this.response = response;
  }

  override get name(): string {
    return "BlockPushNonFatalFailure";
  }
}

/** Answers requests for the bitmaps of merged shuffle blocks. */
export interface MergedBlockMetaReqHandler {
  receiveMergeBlockMetaReq(client: TransportClient, request: MergedBlockMetaRequest, reply: RpcReply): void;
}

/** As Spark: no answer at all. */
const NO_MERGED_BLOCKS: MergedBlockMetaReqHandler = {
  receiveMergeBlockMetaReq: (_client, _request, reply) => reply.discard(),
};

export abstract class RpcHandler {
  /**
   * A request. It is answered once, through `reply`, now or later. What is thrown is answered as a failure.
   *
   * @param client the connection that it came by, to ask something back.
   * @param message a view that is valid during the call only: copy what is to stay.
   */
  abstract receive(client: TransportClient, message: Uint8Array, reply: RpcReply): void;

  /** What chunk and stream requests are answered from. */
  abstract getStreamManager(): StreamManager;

  /** `receive` without the view, `bytes[start .. end)`: override it where a view for each request costs too much. */
  receiveBytes(client: TransportClient, bytes: Uint8Array, start: number, end: number, reply: RpcReply): void {
    this.receive(client, bytes.subarray(start, end), reply);
  }

  /** A message without an answer. What is thrown is logged. */
  receiveOneWay(_client: TransportClient, _message: Uint8Array): void {
    throw new RpcError("ERR_RPC_UNSUPPORTED_MESSAGE", "this server takes no one-way messages");
  }

  /** `receiveOneWay` without the view. */
  receiveOneWayBytes(client: TransportClient, bytes: Uint8Array, start: number, end: number): void {
    this.receiveOneWay(client, bytes.subarray(start, end));
  }

  /**
   * An upload begins: where its bytes go. `reply` is answered when all of them have been received.
   * What is thrown ends the connection, because the bytes that follow cannot be skipped.
   */
  receiveStream(_client: TransportClient, _meta: Uint8Array, _reply: RpcReply): StreamCallbackWithID | null {
    throw new RpcError("ERR_RPC_UNSUPPORTED_MESSAGE", "this server takes no streams");
  }

  getMergedBlockMetaReqHandler(): MergedBlockMetaReqHandler {
    return NO_MERGED_BLOCKS;
  }

  /**
   * Requests of this connection that its peer has given up and that are discarded before the loop turns: so many more are
   * taken from it in this turn. Asked only when a request would be refused otherwise.
   */
  endingCount(_client: TransportClient): number {
    return 0;
  }

  /** A connection is there, opened by either side. */
  channelActive(_client: TransportClient): void {}

  /** It is gone. Nothing comes from it any more. */
  channelInactive(_client: TransportClient): void {}

  /** Something is wrong with it; it ends. */
  exceptionCaught(_cause: Error, _client: TransportClient): void {}
}
