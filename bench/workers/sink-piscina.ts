/** Piscina has no one-way: its nearest is a task without a result. One thread, so one tally. */
import type { Message } from "../messages.js";
import { type Seen, Tally } from "./tally.js";

const tally = new Tally();

export default function sink(message: Message | "seen"): Seen | undefined {
  if (message === "seen") return tally.take();
  tally.add(message);
  return undefined;
}
