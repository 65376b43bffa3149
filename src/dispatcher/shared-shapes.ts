/** Record shapes over the structure log: what binds src/rpc/record-shapes.ts to shared memory. Steps 1, 6, 7 and 8. */
import { LOOPS_MAX } from "../common/limits.js";
import type { StructureLog, StructureLogOwner } from "../inbox/structure-log.js";
import { MessageCodec, type MessageCodecOptions } from "../rpc/codec.js";
import { RecordShapes } from "../rpc/record-shapes.js";
import type { RefPacking } from "../rpc/ref-handle.js";
import { RpcAddress } from "../rpc/rpc-address.js";
import { checkEndpointName } from "./endpoint-refs.js";

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
    networkCodec: new MessageCodec({ refs: networkRefs(refs), messageBytesMax: networkMessageBytesMax, network }),
  };
}

/**
 * References from other nodes: looked over like everything that comes from there, and without hints, which are those of
 * another process, or of somebody who makes them up.
 */
function networkRefs(refs: RefPacking | undefined): RefPacking | undefined {
  if (refs === undefined) return undefined;
  return {
    pack: (ref) => refs.pack(ref),
    unpack(handle) {
      const { env, name, address, replicas } = handle;
      checkEndpointName(name);
      // No colon: that is what tells an address from the id of an env.
      const known = address === null ? ENV_ID.test(env) : RpcAddress.parse(RpcAddress.format(address));
      if (known === false || replicas < 0 || replicas > LOOPS_MAX) throw new TypeError("a reference leads nowhere");
      return refs.unpack({ env: ENV_ID.test(env) ? env : "", name, address, id: 0, generation: 0, replicas });
    },
  };
}

const ENV_ID = /^[A-Za-z0-9_-]{1,64}$/;
