/** Sets up the endpoint of a module that was named on the command line. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { isRpcError, type RpcEndpointRef, type RpcEnv, type RpcUntyped } from "../index.js";
import { CommandFailure } from "./exit.js";

/** The absolute path of a module. Throws CommandFailure when it is not there. */
export function modulePath(module: string): string {
  const path = resolve(module);
  if (!existsSync(path)) throw new CommandFailure(`there is no module ${module}`);
  return path;
}

/** Throws CommandFailure with what the module itself said. */
export async function loadEndpoint(
  env: RpcEnv,
  name: string,
  path: string,
  args: unknown,
): Promise<RpcEndpointRef<RpcUntyped>> {
  try {
    return await env.setupEndpoint<RpcUntyped>(name, path, args === undefined ? {} : { args });
  } catch (error) {
    if (!isRpcError(error)) throw error;
    const cause = error.cause instanceof Error && !error.message.includes(error.cause.message) ? error.cause : null;
    const hint = path.endsWith(".ts") ? "\nNode loads JavaScript: compile the module and name the .js file." : "";
    throw new CommandFailure(
      `cannot load ${path}: ${error.message}${cause === null ? "" : `: ${cause.message}`}${hint}`,
    );
  }
}
