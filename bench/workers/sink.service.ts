/** Ringpost, `cast`: the same as a service. */
import { defineStatefulService } from "ringpost";
import type { Message } from "../messages.js";
import { type Seen, Tally } from "./tally.js";

export default defineStatefulService(
  () => {
    const tally = new Tally();
    return { add: (message: Message): void => tally.add(message), seen: (): Seen => tally.take() };
  },
  { serial: true },
);
