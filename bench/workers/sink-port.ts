/** Raw worker_threads, one-way: says what it saw when asked, and after every window if there are any. */
import { parentPort, workerData } from "node:worker_threads";
import type { Message } from "../messages.js";
import { Tally } from "./tally.js";

const { window } = workerData as { window: number };
const tally = new Tally();

parentPort?.on("message", (message: Message | "seen") => {
  if (message === "seen") parentPort?.postMessage(tally.take());
  else {
    tally.add(message);
    if (tally.count % window === 0) parentPort?.postMessage("window");
  }
});
