/** The service of `ringpost demo`: a path goes in, compressed bytes come out, with the thread that made them. */
import { threadId } from "node:worker_threads";
import { defineService } from "../index.js";
import { compressFile } from "./compress-file.js";

export default defineService({
  compress(path: string, quality: number) {
    return { threadId, bytes: compressFile(path, quality) };
  },
});
