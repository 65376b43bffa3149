/**
 * How a command proves who it is: `--secret-file`, or `--tls-key`, `--tls-cert` and `--tls-ca`. Always files, never values:
 * what stands on a command line is in the list of processes and in the shell's history. `--tls-server-name` is no proof.
 */
import { readFile, stat } from "node:fs/promises";
import type { Command } from "cac";
import { UsageError } from "./exit.js";
import { type ParsedOptions, textOption, textsOption } from "./options.js";

/** What `RpcEnv.create` takes. */
export interface Security {
  readonly secret?: string[];
  readonly tls?: {
    readonly key: string;
    readonly cert: string;
    readonly ca: string;
    readonly serverName?: string;
  };
}

const TLS_FLAGS = ["--tls-key", "--tls-cert", "--tls-ca"] as const;

/** Permissions that let someone else than the owner at a file. */
const MODE_OF_OTHERS = 0o077;

/** Adds the options to a command's help. */
export function securityOptions(command: Command): Command {
  return command
    .option(
      "--secret-file <path>",
      "File with the shared secret, 32 bytes or more; again for a second that is accepted",
    )
    .option("--tls-key <path>", "Private key, PEM")
    .option("--tls-cert <path>", "Certificate of this side and those between it and the authority, PEM")
    .option("--tls-ca <path>", "Certificates of the authorities that peers may have theirs from, PEM")
    .option("--tls-server-name <name>", "Name in the certificate of whom this side dials, where it is not the host");
}

/** Reads the files. Empty when none of the options is given. */
export async function readSecurity(options: ParsedOptions): Promise<Security> {
  const secretFiles = textsOption(options, "--secret-file");
  const [key, cert, ca] = TLS_FLAGS.map((flag) => textOption(options, flag));
  const serverName = textOption(options, "--tls-server-name");
  const withTls = [key, cert, ca, serverName].filter((given) => given !== undefined).length;
  if (secretFiles.length > 0 && withTls > 0) throw new UsageError("give either --secret-file or --tls-…, not both");
  if (secretFiles.length > 0) {
    return { secret: await Promise.all(secretFiles.map((path) => readSecret("--secret-file", path))) };
  }
  if (withTls === 0) return {};
  if (key === undefined || cert === undefined || ca === undefined) {
    throw new UsageError(`${TLS_FLAGS.join(", ")} belong together`);
  }
  return {
    tls: {
      key: await readPrivate("--tls-key", key),
      cert: await read("--tls-cert", cert),
      ca: await read("--tls-ca", ca),
      ...(serverName === undefined ? {} : { serverName }),
    },
  };
}

/** The library names its options; whoever typed a command knows its flags and files. */
export function inFlags(text: string, options: ParsedOptions): string {
  return text.replaceAll(/\btls\.(key|cert|ca)\b/g, (name, part: string) => {
    const path = textOption(options, `--tls-${part}`);
    return path === undefined ? name : `--tls-${part} ${path}`;
  });
}

/** The secret in a file. An editor ends the last line of a file, and that is no part of the secret. */
export async function readSecret(flag: string, path: string): Promise<string> {
  const secret = (await readPrivate(flag, path)).replace(/\r?\n$/, "");
  if (secret !== "") return secret;
  throw new UsageError(`${flag} ${path} is empty`);
}

async function readPrivate(flag: string, path: string): Promise<string> {
  const text = await read(flag, path);
  const { mode } = await stat(path);
  // Windows has no such permissions: there the mode says nothing.
  if (process.platform !== "win32" && (mode & MODE_OF_OTHERS) !== 0) {
    const shown = (mode & 0o777).toString(8).padStart(4, "0");
    throw new UsageError(`${flag} ${path} can be read by others: mode=${shown}; do: chmod 600 ${path}`);
  }
  return text;
}

async function read(flag: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new UsageError(`${flag} ${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
