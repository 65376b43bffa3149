/** Sets up the endpoint of a module that was named on the command line. */
import { spawnSync } from "node:child_process";
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
    const place = error.cause instanceof Error ? placeOf(error.cause, path) : null;
    const at = place === null ? "" : `; at ${place}`;
    const hint = path.endsWith(".ts") ? "\nNode loads JavaScript: compile the module and name the .js file." : "";
    throw new CommandFailure(
      `cannot load ${path}: ${error.message}${cause === null ? "" : `: ${cause.message}`}${at}${hint}`,
    );
  }
}

/** The first line of code, none of Ringpost's own, that an error comes from; null where nobody says. */
function placeOf(error: Error, path: string): string | null {
  const ours = new URL("../", import.meta.url).href;
  const places = error.stack?.match(/file:\/\/\S+?:\d+(?=[:)\s])/g) ?? [];
  const place = places.find((file) => !file.startsWith(ours)) ?? null;
  if (place !== null || error.name !== "SyntaxError") return place;
  // Node.js says where a syntax error is only when it ends by one.
  const { stderr } = spawnSync(process.execPath, ["--check", path], { encoding: "utf8" });
  return /^\S.*:\d+$/m.exec(stderr)?.[0] ?? null;
}
