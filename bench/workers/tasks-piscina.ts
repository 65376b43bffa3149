/** Piscina and tinypool: each task an export, chosen by the pool's option `name`. */
import { tasks } from "./tasks.js";

export const { echo, cpu, takeBulk, giveBulk, echoBulk, stage } = tasks;
