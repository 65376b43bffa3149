/** Ringpost, `call`: the tasks as methods. */
import { defineService } from "ringpost";
import { tasks } from "./tasks.js";

export default defineService(tasks);
