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
  /** For messages from and to other nodes, which know nothing of shapes and are not trusted. */
  readonly networkCodec: MessageCodec;
}

export interface CodecOptions extends Pick<MessageCodecOptions, "refs"> {
  /** Bytes of a message inside the process, and of one from or to another node. */
  readonly messageBytesMax: number;
  readonly networkMessageBytesMax: number;
  /** Errors travel to other nodes with their stacks. */
  readonly exposeStacks: boolean;
}

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
  const { refs, messageBytesMax, networkMessageBytesMax, exposeStacks } = options;
  const all = { refs, messageBytesMax, shapes, trusted: true };
  const network = { stacks: exposeStacks };
  return {
    codec: new MessageCodec(all),
    controlCodec: new MessageCodec(all),
    networkCodec: new MessageCodec({ refs, messageBytesMax: networkMessageBytesMax, network }),
  };
}
