/** poolifier: one task function, named by the pool's workerData. */
import { workerData } from "node:worker_threads";
import { ThreadWorker } from "poolifier";
import { type TaskName, taskNamed } from "./tasks.js";

export default new ThreadWorker(taskNamed(workerData as TaskName));
