#!/usr/bin/env node
/**
 * The command `ringpost`: reads arguments, runs one command, turns its outcome into an exit code.
 *
 * Exit codes: 0 done, 1 failed, 2 wrong use, 3 a threshold was missed.
 */
import { readFileSync } from "node:fs";
import { type CAC, cac } from "cac";
import { isRpcError } from "../index.js";
import { parseArguments } from "./arguments.js";
import { benchCommand } from "./bench.js";
import { demoCommand } from "./demo.js";
import { CommandFailure, ExitCode, UsageError } from "./exit.js";
import { failureText } from "./failure-text.js";
import { inFlags } from "./security-options.js";
import { serveCommand } from "./serve.js";
import { shuffleServiceCommand } from "./shuffle-service.js";
import { askCommand, callCommand, castCommand, sendCommand } from "./talk.js";
import { tuneCommand } from "./tune.js";

const COMMANDS = [
  demoCommand,
  serveCommand,
  askCommand,
  sendCommand,
  callCommand,
  castCommand,
  shuffleServiceCommand,
  benchCommand,
  tuneCommand,
];

/** A reader that has seen enough (`ringpost … | head`) is no failure. */
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(ExitCode.DONE);
});

process.exitCode = await run(process.argv);

async function run(argv: string[]): Promise<number> {
  const cli = cac("ringpost");
  for (const command of COMMANDS) command(cli);
  cli.help();
  cli.version(version());
  try {
    parseArguments(cli, argv);
    if (cli.options.help === true || cli.options.version === true) return ExitCode.DONE;
    if (cli.matchedCommand === undefined) throw unknownCommand(cli);
    return (await cli.runMatchedCommand()) as number;
  } catch (error) {
    return complain(error, cli);
  }
}

function unknownCommand(cli: CAC): UsageError {
  const known = cli.commands.map((command) => command.name).join(", ");
  const [name] = cli.args;
  return new UsageError(name === undefined ? `a command is missing: ${known}` : `unknown command ${name}: ${known}`);
}

/** Says what went wrong, without a stack where the text says it all. */
function complain(error: unknown, { matchedCommandName, options }: CAC): number {
  const who = matchedCommandName === undefined ? "ringpost" : `ringpost ${matchedCommandName}`;
  if (error instanceof UsageError || (error instanceof Error && error.name === "CACError")) {
    process.stderr.write(`${who}: ${error.message}\nSee: ${who} --help\n`);
    return ExitCode.USAGE;
  }
  if (isRpcError(error, "ERR_RPC_INVALID_ARGUMENT")) {
    process.stderr.write(`${who}: ${inFlags(failureText(error), options)}\nSee: ${who} --help\n`);
    return ExitCode.USAGE;
  }
  process.stderr.write(`${who}: ${textOf(error)}\n`);
  return ExitCode.FAILED;
}

function textOf(error: unknown): string {
  if (isRpcError(error)) return failureText(error);
  if (error instanceof CommandFailure) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** Of the package this file was built into. */
function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8"));
  return (manifest as { readonly version: string }).version;
}
