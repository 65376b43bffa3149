/** Piscina: a task that gives its input back. */
import type { Message } from "../messages.js";

export default function echo(message: Message): Message {
  return message;
}
