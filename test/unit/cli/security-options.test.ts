/** Goal: a command's proof comes from files that only its owner can read, and a mistake says which option it is about. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cac } from "cac";
import { afterAll, describe, expect, test } from "vitest";
import { parseArguments } from "../../../dist/src/cli/arguments.js";
import { UsageError } from "../../../dist/src/cli/exit.js";
import { readSecurity, type Security, securityOptions } from "../../../dist/src/cli/security-options.js";

const folder = mkdtempSync(join(tmpdir(), "ringpost-security-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string, mode = 0o600): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

/** As the command line is read. */
async function given(...args: string[]): Promise<Security> {
  const cli = cac("ringpost");
  let read: Promise<Security> = Promise.resolve({});
  securityOptions(cli.command("serve")).action((options) => {
    read = readSecurity(options);
  });
  parseArguments(cli, ["node", "ringpost", "serve", ...args]);
  cli.runMatchedCommand();
  return read;
}

async function complaint(...args: string[]): Promise<string> {
  const error = await given(...args).catch((reason: unknown) => reason);
  if (error instanceof UsageError) return error.message;
  throw error;
}

const secret = file("secret", "0123456789abcdef0123456789abcdef\n");
const key = file("key.pem", "key");
const cert = file("cert.pem", "cert", 0o644);
const ca = file("ca.pem", "ca", 0o644);

describe("a command", () => {
  test("without any of the options has no security", async () => {
    expect(await given()).toEqual({});
  });

  test("takes secrets from files, without the end of their last line, in their order", async () => {
    const next = file("next", "the next one\r\n");
    expect(await given("--secret-file", secret)).toEqual({ secret: ["0123456789abcdef0123456789abcdef"] });
    expect(await given("--secret-file", next, "--secret-file", secret)).toEqual({
      secret: ["the next one", "0123456789abcdef0123456789abcdef"],
    });
  });

  test("takes key, certificate and authorities from files", async () => {
    expect(await given("--tls-key", key, "--tls-cert", cert, "--tls-ca", ca)).toEqual({
      tls: { key: "key", cert: "cert", ca: "ca" },
    });
    const named = await given("--tls-key", key, "--tls-cert", cert, "--tls-ca", ca, "--tls-server-name", "node.test");
    expect(named.tls).toMatchObject({ serverName: "node.test" });
  });
});

describe("a mistake", () => {
  test.each([0o640, 0o604, 0o644])("of a file with mode %o is named", async (mode) => {
    const open = file("open", "0123456789abcdef0123456789abcdef", mode);
    expect(await complaint("--secret-file", open)).toBe(
      `--secret-file ${open} can be read by others: mode=0${mode.toString(8)}; do: chmod 600 ${open}`,
    );
    expect(await complaint("--tls-key", open, "--tls-cert", cert, "--tls-ca", ca)).toContain(`--tls-key ${open}`);
  });

  test("of a file that is not there, or empty, is named", async () => {
    const missing = join(folder, "missing");
    expect(await complaint("--secret-file", missing)).toContain(`--secret-file ${missing} cannot be read: ENOENT`);
    expect(await complaint("--tls-key", key, "--tls-cert", missing, "--tls-ca", ca)).toContain(`--tls-cert ${missing}`);
    expect(await complaint("--secret-file", file("empty", "\n"))).toContain("is empty");
  });

  test("of options that do not go together is named", async () => {
    expect(await complaint("--tls-key", key)).toBe("--tls-key, --tls-cert, --tls-ca belong together");
    expect(await complaint("--tls-server-name", "node.test")).toBe("--tls-key, --tls-cert, --tls-ca belong together");
    expect(await complaint("--tls-ca", ca, "--secret-file", secret)).toBe(
      "give either --secret-file or --tls-…, not both",
    );
  });
});
