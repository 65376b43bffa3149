/** Record shapes over the structure log: what binds src/rpc/record-shapes.ts to shared memory. Steps 1, 6, 7 and 8. */
import type { StructureLog, StructureLogOwner } from "../inbox/structure-log.js";
import { MessageCodec, type MessageCodecOptions } from "../rpc/codec.js";
import { RecordShapes } from "../rpc/record-shapes.js";

/** The codecs of one thread. All that they read was written by such codecs of the same env. */
export interface LoopCodecs {
  /** For messages: what it encodes is copied into a ring before anything else runs. */
  readonly codec: MessageCodec;
  /** For control calls: a handler's message may be in the other one's scratch. */
  readonly controlCodec: MessageCodec;
}

type CodecOptions = Pick<MessageCodecOptions, "refs" | "messageBytesMax">;

/** Those of a message loop; `suggest` tells loop 0 of a shape that was met often. */
export function loopCodecs(
  options: CodecOptions,
  log: StructureLog,
  suggest: (keys: readonly string[]) => void,
): LoopCodecs {
  const shapes = new RecordShapes({
    count: () => log.count(),
    readNext: () => log.readNext(),
    // Not at once: a message is just being encoded.
    suggest: (keys) => queueMicrotask(() => suggest(keys)),
  });
  return codecs(options, shapes);
}

/** Those of loop 0, and `adopt` for shapes that message loops suggest. */
export function loopZeroCodecs(
  options: CodecOptions,
  log: StructureLogOwner,
): LoopCodecs & { readonly adopt: (keys: unknown) => void } {
  // Several loops may suggest the same shape; a full log takes no more.
  const adopt = (keys: unknown): void => {
    if (shapes.isNew(keys)) log.append(keys);
  };
  const shapes = new RecordShapes({ count: () => log.count(), readNext: () => log.readNext(), suggest: adopt });
  return { ...codecs(options, shapes), adopt };
}

function codecs(options: CodecOptions, shapes: RecordShapes): LoopCodecs {
  const all = { ...options, shapes, trusted: true };
  return { codec: new MessageCodec(all), controlCodec: new MessageCodec(all) };
}
