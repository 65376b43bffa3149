/** The work of the demo: the same function in the plain loop and in the service. */
import { readFileSync } from "node:fs";
import { brotliCompressSync, constants } from "node:zlib";

/** The file's content, compressed by brotli at `quality` (0 to 11). */
export function compressFile(path: string, quality: number): Uint8Array<ArrayBuffer> {
  const content = readFileSync(path);
  const compressed = brotliCompressSync(content, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: quality,
      [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
    },
  });
  return compressed as Uint8Array<ArrayBuffer>;
}
