/** Raw worker_threads: posts back what the task named by workerData makes of what was posted. */
import { parentPort, workerData } from "node:worker_threads";
import { type TaskName, taskNamed } from "./tasks.js";

const run = taskNamed(workerData as TaskName);
parentPort?.on("message", (message: unknown) => parentPort?.postMessage(run(message)));
