/** The ceiling of cpu-handlers: runs a task so many times without a word in between, then answers with the last reply. */
import { parentPort } from "node:worker_threads";
import { type CpuReply, type CpuTask, runCpu } from "../cpu.js";

parentPort?.on("message", ({ task, count }: { task: CpuTask; count: number }) => {
  let reply: CpuReply | null = null;
  for (let left = count; left > 0; left--) reply = runCpu(task);
  parentPort?.postMessage(reply);
});
