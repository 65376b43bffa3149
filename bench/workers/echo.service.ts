/** Ringpost, `call`: a service that gives its input back. */
import { defineService } from "ringpost";
import type { Message } from "../messages.js";

export default defineService({ echo: (message: Message): Message => message });
