/**
 * Goal: what `ringpost serve`, `ask`, `send`, `call`, `cast` and `demo` say and return can be relied on, between real
 * processes; each mistake is one line with a code and what to do.
 * Method: the built command as child processes; `serve` on a port that is free, its uri read from its output.
 */
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  watch,
  writeFileSync,
} from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { authority, leaf } from "../../fixtures/certificates.js";
import { cliModule, RunningCommand, ringpost } from "../../fixtures/command.js";

const folder = mkdtempSync(join(tmpdir(), "ringpost-commands-"));
const running: RunningCommand[] = [];

function start(...args: string[]): RunningCommand {
  const command = new RunningCommand(...args);
  running.push(command);
  return command;
}

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, 0o600);
  return path;
}

const secret = file("secret", `${"0123456789abcdef".repeat(2)}\n`);
const otherSecret = file("other-secret", "f".repeat(32));
const values = cliModule("values.service.js");

/** One line, then nothing. */
function oneLine(stderr: string): string {
  expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  return stderr;
}

async function written(path: string, text: string): Promise<void> {
  await expect.poll(() => (existsSync(path) ? readFileSync(path, "utf8") : ""), { timeout: 30_000 }).toBe(text);
}

afterAll(async () => {
  for (const command of running) command.child.kill("SIGKILL");
  await Promise.all(running.map(({ ended }) => ended));
  rmSync(folder, { recursive: true, force: true });
});

describe("call and cast, ask and send", () => {
  let service: string;
  let counter: string;
  beforeAll(async () => {
    service = await start("serve", values, "--threads", "1").uri();
    counter = await start("serve", cliModule("echo.endpoint.js"), "--name", "echo", "--threads", "1").uri();
  });

  test("print the answer for people on stdout, a text as it is", async () => {
    expect(await ringpost("call", service, "text")).toEqual({ exitCode: 0, stdout: "plain text\n", stderr: "" });
    const bytes = file("bytes", "AB");
    const { stdout, exitCode } = await ringpost("call", service, "echo", '{"a":[1]}', `@${bytes}`, "-4", "--", "-5");
    expect([exitCode, stdout]).toEqual([0, "[ { a: [ 1 ] }, Uint8Array(2) [ 65, 66 ], -4, -5 ]\n"]);
    const asked = await ringpost("ask", counter, '{"text":"hello"}');
    expect(asked).toEqual({ exitCode: 0, stdout: "hello\n", stderr: "" });
  });

  test("--json is one document on stdout, in which every kind of value is told apart", async () => {
    const { stdout, stderr, exitCode } = await ringpost("call", service, "values", "--json");
    expect(exitCode).toBe(0);
    expect(stderr).toContain("12n");
    expect(JSON.parse(stdout)).toEqual({
      value: {
        $type: "Object",
        entries: [
          ["big", { $type: "bigint", value: "12" }],
          ["date", { $type: "Date", value: "1970-01-01T00:00:00.000Z" }],
          ["bytes", { $type: "Uint8Array", base64: "AAEC" }],
          ["map", { $type: "Map", entries: [["a", { b: 1 }]] }],
          ["set", { $type: "Set", values: [1] }],
          [
            "error",
            {
              $type: "Error",
              name: "TypeError",
              message: "wrong",
              fields: { code: "E_WRONG" },
              cause: { $type: "Error", name: "Error", message: "why", fields: {} },
            },
          ],
          ["nothing", { $type: "undefined" }],
          ["notANumber", { $type: "number", value: "NaN" }],
          ["$type", "mine"],
        ],
      },
    });
    const ref = await ringpost("call", service, "self", '"values"', "--json");
    expect(JSON.parse(ref.stdout)).toEqual({ value: { $type: "ref", uri: service } });
  });

  test("a name that no method can have is wrong use", async () => {
    const { exitCode, stderr } = await ringpost("call", service, "then");
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining("no service has a method then")]);
  });

  test("one-way messages are handled after the command has ended", async () => {
    const path = join(folder, "cast");
    const { exitCode, stdout } = await ringpost("cast", service, "note", JSON.stringify(path), '"noted"');
    expect([exitCode, stdout]).toEqual([0, `sent to ${service}\n`]);
    await written(path, "noted");
    expect((await ringpost("send", counter, "1", "--json")).exitCode).toBe(0);
  });

  test("a handler's error is one line and exit code 1; with --json a document as well", async () => {
    const { exitCode, stdout, stderr } = await ringpost("call", service, "fails", "--json");
    expect(exitCode).toBe(1);
    expect(oneLine(stderr)).toBe(
      'ringpost call: ERR_RPC_HANDLER: handler of "values" failed: TypeError: two lines \\x1b[31m\n',
    );
    expect(JSON.parse(stdout)).toMatchObject({
      error: {
        code: "ERR_RPC_HANDLER",
        maybeExecuted: true,
        cause: { name: "TypeError", fields: { code: "E_FAILS" } },
      },
    });
  });

  test.each([
    ["a method that is not there", () => ["call", service, "nope"], "ERR_RPC_NO_SUCH_METHOD", "it has: echo, text"],
    ["a cast of no method", () => ["cast", service, "nothing"], "ERR_RPC_NO_SUCH_METHOD", "it has: echo, text, values"],
    ["a message to a service", () => ["ask", service, "1"], "ERR_RPC_UNSUPPORTED_MESSAGE", "use call or cast"],
    ["a method of a class", () => ["call", counter, "get"], "ERR_RPC_NO_SUCH_METHOD", "use ask or send"],
    [
      "an endpoint that is not there",
      () => ["call", service.replace("values", "other"), "text"],
      "ERR_RPC_ENDPOINT_NOT_FOUND",
      "compare the name",
    ],
    [
      "nobody at that port",
      () => ["call", "ringpost://values@127.0.0.1:1", "text"],
      "ERR_RPC_CONNECT",
      "is it running",
    ],
    ["a secret for nothing", () => ["call", service, "text", "--secret-file", secret], "ERR_RPC_AUTH", "--secret-file"],
    [
      "no answer in time",
      () => ["call", service, "forever", JSON.stringify(join(folder, "late")), "--timeout", "1"],
      "ERR_RPC_TIMEOUT",
      "--timeout <s> waits longer",
    ],
  ])("%s ends with 1 and one line with the code and what to do", async (_what, args, code, advice) => {
    const { exitCode, stdout, stderr } = await ringpost(...args());
    expect([exitCode, stdout]).toEqual([1, ""]);
    expect(oneLine(stderr)).toContain(`ringpost ${args()[0]}: ${code}: `);
    expect(stderr).toContain(advice);
  });

  test.each([
    [["ask"], "missing required args"],
    [["ask", "http://x@y:1", "1"], "not the uri of an endpoint"],
    [["ask", "ringpost://x", "1"], "ringpost://x has no address: ringpost://name@host:port"],
    [["ask", "ringpost://x@127.0.0.1:1", "hello"], "is no JSON"],
    [["ask", "ringpost://x@127.0.0.1:1", "@not-there"], "@not-there"],
    [["ask", "ringpost://x@127.0.0.1:1", "--json", "012"], "the message is no JSON"],
    [["call", "ringpost://x@127.0.0.1:1", "m", "-x"], "Unknown option `-x`"],
    [["call", "ringpost://x@127.0.0.1:1", "m", "--timeout", "0"], "--timeout is a number"],
    [["serve"], "missing required args"],
    [["serve", values, "--port", "80"], "port must be 0 or 1024 to 65535: port=80"],
    [["serve", values, "--host", ""], "--host is empty"],
    [["serve", values, "--name="], "--name is empty"],
    [["serve", ""], "an argument is empty"],
    [["serve", values, "--secret-file", "not-there"], "--secret-file not-there cannot be read"],
    [["serve", values, "--secret-file", "012"], "--secret-file 012 cannot be read"],
    [["demo", "--server", "ringpost://x@127.0.0.1:1", "--threads", "1"], "no --threads"],
  ])("%j is wrong use: exit code 2 and a pointer to the help", async (args, text) => {
    const { exitCode, stdout, stderr } = await ringpost(...args);
    expect([exitCode, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(text);
    expect(stderr).toContain("--help");
  });
});

describe("serve", () => {
  test("a signal lets what has come in be handled and answered, and frees the port; exit code 0", async () => {
    const server = start("serve", values, "--threads", "1", "--json");
    await server.says(/\n/);
    const { uri, port } = JSON.parse(server.stdout) as { uri: string; port: number };
    const path = join(folder, "slow");
    const answer = ringpost("call", uri, "noteAndWait", JSON.stringify(path));
    await written(path, "begun ");
    server.child.kill("SIGINT");
    await server.says(/SIGINT: what has come in is handled/, "stderr");
    writeFileSync(path, "begun and ended");
    expect(await server.ended).toEqual([0, null]);
    expect(await answer).toEqual({ exitCode: 0, stdout: "done\n", stderr: "" });
    const again = start("serve", values, "--threads", "1", "--port", String(port));
    expect(await again.uri()).toBe(uri);
    expect(await again.stop()).toEqual([0, null]);
  });

  test("a second signal ends it at once", async () => {
    const server = start("serve", values, "--threads", "1");
    const path = join(folder, "forever");
    const asker = start("call", await server.uri(), "forever", JSON.stringify(path));
    await written(path, "begun ");
    server.child.kill("SIGTERM");
    await server.says(/once more ends at once/, "stderr");
    expect(await server.stop("SIGTERM")).toEqual([143, null]);
    expect((await asker.ended)[0]).toBe(1);
    expect(oneLine(asker.stderr)).toContain("ERR_RPC_");
  });

  test("a server that is killed is an error with a code, for who waits and for who comes", async () => {
    const server = start("serve", values, "--threads", "1");
    const uri = await server.uri();
    const path = join(folder, "killed");
    const asker = start("call", uri, "forever", JSON.stringify(path));
    await written(path, "begun ");
    await server.stop("SIGKILL");
    expect(await asker.ended).toEqual([1, null]);
    expect(oneLine(asker.stderr)).toMatch(/ERR_RPC_CONNECTION_LOST: .*repeat only what may happen twice/);
    expect(oneLine((await ringpost("call", uri, "text")).stderr)).toContain("ERR_RPC_CONNECT: ");
  });

  test("a name that looks like a number is served as it was typed", async () => {
    const server = start("serve", values, "--threads", "1", "--name", "007");
    const uri = await server.uri();
    expect(uri).toMatch(/^ringpost:\/\/007@/);
    expect((await ringpost("call", uri, "text")).stdout).toBe("plain text\n");
    await server.stop();
  });

  test("a port that is taken is followed by the next, with a warning", async () => {
    const first = start("serve", values, "--threads", "1");
    const port = (await first.uri()).split(":").at(-1) ?? "";
    const second = start("serve", values, "--threads", "1", "--port", port);
    expect(await second.uri()).not.toContain(`:${port}`);
    expect(second.stderr).toContain(`port is taken, the next one is tried: port=${port}`);
    await Promise.all([first.stop(), second.stop()]);
  });

  test.each([
    ["other machines may reach it", [values, "--host", "0.0.0.0"], /ERR_RPC_INSECURE_BIND: .*--secret-file/],
    ["the module is not there", ["gone.js"], /there is no module gone\.js/],
    ["the module throws", [cliModule("broken.service.js")], /broken on purpose; at file:.*broken\.service\.js:\d+$/m],
    [
      "the module cannot be parsed",
      [file("syntax.mjs", "export {};\n  a( {\n")],
      /Unexpected .*; at .*syntax\.mjs:\d+$/m,
    ],
    ["the name is taken by the env", [values, "--name", "endpoint-verifier"], /choose another name/],
  ])("when %s it ends with 1 and one line", async (_what, args, text) => {
    const { exitCode, stdout, stderr } = await ringpost("serve", ...args);
    expect([exitCode, stdout]).toEqual([1, ""]);
    expect(oneLine(stderr)).toMatch(text);
  });

  test("with a secret only who has it is served, and each side says what the other lacks", async () => {
    const server = start("serve", values, "--threads", "1", "--secret-file", secret, "--host", "0.0.0.0");
    const uri = (await server.uri()).replace("0.0.0.0", "127.0.0.1");
    expect((await ringpost("call", uri, "text", "--secret-file", secret)).stdout).toBe("plain text\n");
    const stranger = await ringpost("call", uri, "text", "--secret-file", otherSecret);
    expect(oneLine(stranger.stderr)).toMatch(/ERR_RPC_AUTH: .*both sides need the same secret/);
    await server.says(/a connection was refused: .*the peer's secret is none of this side's/, "stderr");
    const plain = await ringpost("call", uri, "text");
    expect(oneLine(plain.stderr)).toMatch(
      /ERR_RPC_AUTH: .*a TLS alert: .*the peer wants `secret` or `tls`, which this side has not/,
    );
    await server.says(/it does not speak TLS/, "stderr");
    expect([stranger.exitCode, plain.exitCode]).toEqual([1, 1]);
    await server.stop();
  });

  test("with certificates of one authority both sides are checked", async () => {
    const ca = authority("some authority");
    const { key, cert } = leaf(ca, "node", { names: ["DNS:node.test", "IP:127.0.0.1"] });
    const tls = ["--tls-key", file("key", key), "--tls-cert", file("cert", cert), "--tls-ca", file("ca", ca.cert)];
    const server = start("serve", values, "--threads", "1", ...tls);
    const uri = await server.uri();
    expect((await ringpost("call", uri, "text", ...tls)).stdout).toBe("plain text\n");
    // Whose certificate names no address is dialled by its name.
    const byName = leaf(ca, "named", { names: ["DNS:named.test"] });
    const named = ["--tls-key", file("key3", byName.key), "--tls-cert", file("cert3", byName.cert), ...tls.slice(4)];
    const other2 = start("serve", values, "--threads", "1", ...named);
    const uri2 = await other2.uri();
    expect(oneLine((await ringpost("call", uri2, "text", ...tls)).stderr)).toMatch(/ERR_RPC_AUTH: .*--tls-server-name/);
    expect((await ringpost("call", uri2, "text", ...tls, "--tls-server-name", "named.test")).stdout).toBe(
      "plain text\n",
    );
    await other2.stop();
    const stranger = authority("another one");
    const other = leaf(stranger, "x", { names: ["DNS:x.test"] });
    const foreign = ["--tls-key", file("key2", other.key), "--tls-cert", file("cert2", other.cert), ...tls.slice(4)];
    const refused = await ringpost("call", uri, "text", ...foreign);
    expect([refused.exitCode, oneLine(refused.stderr)]).toEqual([1, expect.stringContaining("ERR_RPC_AUTH")]);
    await server.stop();
  });

  test.each(["key", "cert", "ca"])("--tls-%s that is no PEM is named with its file, at start", async (part) => {
    const ca = authority("some authority");
    const pem = { ...leaf(ca, "node", { names: ["DNS:node.test"] }), ca: ca.cert, [part]: "no PEM\n" };
    const path = (name: string) => join(folder, `${part}-${name}.pem`);
    const flags = Object.entries(pem).flatMap(([name, text]) => [`--tls-${name}`, file(`${part}-${name}.pem`, text)]);
    const { exitCode, stderr } = await ringpost("serve", values, "--threads", "1", ...flags);
    expect(stderr).toMatch(new RegExp(`--tls-${part} ${path(part)}\\b.* cannot be used: `));
    expect(exitCode).toBe(2);
  });

  test("an owner without a secret is told of who speaks something else", async () => {
    const server = start("serve", values, "--threads", "1");
    await ringpost("call", await server.uri(), "text", "--secret-file", secret);
    await server.says(/a connection was refused: .*look like a TLS hello/, "stderr");
    await server.stop();
  });
});

describe("demo", () => {
  const tree = join(folder, "tree");
  beforeAll(() => {
    mkdirSync(tree);
    for (let n = 0; n < 40; n++) writeFileSync(join(tree, `${n}.txt`), `text ${n} `.repeat(20_000));
  });

  test("a client that is killed costs the server nothing: the next one completes", async () => {
    const demo = start("demo", tree, "--threads", "2", "--rounds", "3", "--quality", "7");
    const [, client = "", server = ""] = await demo.says(/^Process (\d+) asks process (\d+) over TCP/m);
    expect(Number(server)).toBe(demo.child.pid);
    process.kill(Number(client), "SIGKILL");
    expect(await demo.ended).toEqual([0, null]);
    expect(oneLine(demo.stderr)).toContain("the client was killed by SIGKILL; the server goes on");
    const asked = [...demo.stdout.matchAll(/^Process (\d+) asks process (\d+)/gm)];
    expect(asked.map((match) => match[2])).toEqual([server, server]);
    expect(asked[1]?.[1]).not.toBe(client);
    expect(demo.stdout).toContain("40 files");
    expect(demo.stdout).toContain("Every result of every round was decompressed");
  });

  test("--in-process has one process, and the same checks", async () => {
    const args = ["--threads", "1", "--rounds", "1", "--json"];
    const [one, two] = await Promise.all([
      ringpost("demo", tree, "--in-process", ...args),
      ringpost("demo", tree, ...args),
    ]);
    expect(JSON.parse(one.stdout)).toMatchObject({ processes: 1, verified: 40, threads: 1, failed: {} });
    expect(JSON.parse(two.stdout)).toMatchObject({ processes: 2, verified: 40, threads: 1, failed: {} });
    expect(Object.keys(JSON.parse(one.stdout))).toEqual(Object.keys(JSON.parse(two.stdout)));
  });

  test("told to end, server and client do", async () => {
    const demo = start("demo", tree, "--threads", "1", "--rounds", "1000", "--quality", "11");
    const [, client = ""] = await demo.says(/^Process (\d+) asks/m);
    expect(await demo.stop("SIGTERM")).toEqual([143, null]);
    expect(() => process.kill(Number(client), 0)).toThrow("ESRCH");
  });

  test.each(["SIGINT", "SIGTERM"] as const)(
    "told to end by %s while it starts, it leaves no secret behind",
    async (signal) => {
      const temporary = mkdtempSync(join(folder, "temporary-"));
      const { TMPDIR } = process.env;
      process.env.TMPDIR = temporary;
      const demo = start("demo", tree, "--threads", "2");
      if (TMPDIR === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = TMPDIR;
      const watcher = watch(temporary);
      await once(watcher, "change");
      watcher.close();
      expect(await demo.stop(signal)).toEqual([128 + constants.signals[signal], null]);
      expect(readdirSync(temporary)).toEqual([]);
    },
  );

  test("a client whose server is gone says so in one line", async () => {
    const demo = start("demo", tree, "--threads", "1", "--rounds", "1000", "--quality", "11");
    await demo.says(/^Process (\d+) asks/m);
    await demo.stop("SIGKILL");
    expect(oneLine(demo.stderr)).toMatch(/the service is gone: ERR_RPC_CONNECTION_LOST/);
  });
});
