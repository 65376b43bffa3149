/**
 * An upload's callback that also answers its request: when onComplete is done, which may be later, or when all is lost.
 *
 * what happens                              | the answer                       | the connection | the receiver is told
 * ------------------------------------------|----------------------------------|----------------|---------------------
 * onComplete returns, or its promise resolves | getCompletionResponse()        | goes on        | –
 * onComplete throws or rejects              | the failure; for a               | goes on        | onFailure
 *                                           | BlockPushNonFatalFailure its own |                |
 * onData throws or rejects                  | a failure                        | ends           | onFailure
 * the connection ends                       | –                                | ended          | onFailure
 */
import type { StreamCallback, StreamCallbackWithID } from "./callbacks.js";
import { asError, messageOf } from "./failure-text.js";
import { guarded, isPromise } from "./guarded.js";
import { BlockPushNonFatalFailure } from "./rpc-handler.js";
import type { RpcReply } from "./rpc-reply.js";
import type { StreamEnd } from "./stream-interceptor.js";

const NOTHING = new Uint8Array(0);

/** @param warn is told what the receiver's onFailure throws. */
export function uploadCallback(
  receiver: StreamCallbackWithID,
  reply: RpcReply,
  warn: (text: string, error: unknown) => void,
): { readonly callback: StreamCallback; readonly end: StreamEnd } {
  const answer = (): void => reply.onSuccess(receiver.getCompletionResponse?.() ?? NOTHING);
  const notCompleted = (streamId: string, error: unknown): void => {
    const text = `Failure post-processing complete stream; failing this rpc and leaving channel active: ${messageOf(error)}`;
    answerFailure(reply, error instanceof BlockPushNonFatalFailure ? error : `java.io.IOException: ${text}`);
    guarded(
      () => receiver.onFailure(streamId, asError(error)),
      (thrown) => warn("onFailure of an upload failed", thrown),
    );
  };
  const callback: StreamCallback = {
    onStart: (streamId, byteCount) => receiver.onStart?.(streamId, byteCount),
    onData: (streamId, bytes) => receiver.onData(streamId, bytes),
    onComplete(streamId) {
      try {
        const done: unknown = receiver.onComplete(streamId);
        if (!isPromise(done)) return answer();
        return Promise.resolve(done)
          .then(answer)
          .catch((error: unknown) => notCompleted(streamId, error));
      } catch (error) {
        notCompleted(streamId, error);
      }
    },
    onFailure: (streamId, error) => receiver.onFailure(streamId, error),
  };
  const end: StreamEnd = {
    failed: (error) =>
      reply.onFailure(`java.io.IOException: Destination failed while reading stream: ${error.message}`),
  };
  return { callback, end };
}

/** What is thrown may be an answer. */
export function answerFailure(reply: RpcReply, error: unknown): void {
  if (error instanceof BlockPushNonFatalFailure) reply.onSuccess(error.response);
  else reply.onFailure(error);
}

/** Takes an upload that was refused before it began: its bytes come all the same, and something stands behind them. */
export const DROPPED: StreamCallback = { onData() {}, onComplete() {}, onFailure() {} };
