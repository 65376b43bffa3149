/** Ringpost, `ask`: a concurrent endpoint that runs the task it was set up with. */
import { RpcEndpoint } from "ringpost";
import { type TaskName, taskNamed } from "./tasks.js";

export default class Tasks extends RpcEndpoint {
  readonly #run: (input: unknown) => unknown;

  constructor({ task }: { task: TaskName }) {
    super();
    this.#run = taskNamed(task);
  }

  override receiveAndReply(message: unknown): unknown {
    return this.#run(message);
  }
}
