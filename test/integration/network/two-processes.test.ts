/**
 * Goal: environments of two processes find each other by a uri, ask each other, and see each other go.
 * Method: a child process that listens; the reference that it is given belongs to this process, which does not.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { RpcEnv } from "ringpost";
import { expect, test } from "vitest";
import { fixtureUrl } from "../../fixtures/fixture-url.js";

type Peer = typeof import("../../fixtures/peer-service.js");

test("two processes ask each other over one connection, and the child ends by itself", async () => {
  const child = spawn(process.execPath, [fileURLToPath(fixtureUrl("network-main"))], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  try {
    const [uri] = (await once(createInterface(child.stdout), "line")) as [string];
    await using env = await RpcEnv.create({ numThreads: 1 });
    const own = await env.setupEndpoint<Peer>("own", fixtureUrl("peer-service"));
    const peer = await env.setupEndpointRefByURI<Peer>(uri);
    const gone = new Promise((resolve) => env.on("disconnected", resolve));
    expect(await peer.call.echo({ n: 1 })).toEqual({ n: 1 });
    // The child asks back, over the connection on which it was given the reference.
    expect(await peer.call.call(own as never, "echo", "from the child")).toBe("from the child");
    expect(await peer.call.chain([own, peer, own] as never, 0)).toBe(3);
    child.stdin.end();
    expect(await gone).toEqual(peer.address);
    expect((await exited)[0]).toBe(0);
  } finally {
    child.kill("SIGKILL");
  }
});
