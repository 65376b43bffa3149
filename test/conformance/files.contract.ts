/**
 * Goal: what Spark's suites demand of the file server holds, however the two environments prove who they are.
 * Method: real files, read by an environment that does not listen over connections of their own.
 */
import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { buffer, text } from "node:stream/consumers";
import { RpcAddress, RpcEnv } from "ringpost";
import { describe, expect, test } from "vitest";
import { Folder } from "../fixtures/folder.js";
import { failureOf, type NetworkForm } from "./form.js";

export function filesSuite(form: NetworkForm): void {
  const { security } = form;
  const server = () => RpcEnv.create({ numThreads: 1, ...security, host: "127.0.0.1" });
  const client = () => RpcEnv.create({ numThreads: 1, ...security });
  const fetched = async (env: RpcEnv, uri: string): Promise<string> => text(await env.openChannel(uri));

  /** Why a file cannot be had. */
  async function refusalOf(env: RpcEnv, uri: string): Promise<string> {
    const error = await failureOf(fetched(env, uri));
    expect(error.code).toBe("ERR_RPC_STREAM");
    return error.message;
  }

  describe(`RpcEnvSuite, files, ${form.name}`, () => {
    test("[spark 34] files arrive as they are, under names with spaces and of any script, empty ones too", async () => {
      await using folder = await Folder.create();
      await using env = await server();
      await using other = await client();
      const contents = {
        file: randomBytes(100),
        "file name": Buffer.from("with a space"),
        "имя? #50%.txt": Buffer.from("of any script"),
        empty: Buffer.alloc(0),
        large: randomBytes(3_000_000),
      };
      for (const [name, content] of Object.entries(contents)) {
        const path = await folder.file(name, content);
        const uri = await env.fileServer.addFile(path);
        const place = `${RpcAddress.format(env.address as RpcAddress)}/files/`;
        expect(uri).toBe(place + encodeURIComponent(name));
        expect(await env.fileServer.addFile(path)).toBe(uri);
        for (const scheme of ["ringpost", "spark"]) {
          expect(content.equals(await buffer(await other.openChannel(uri.replace("ringpost", scheme))))).toBe(true);
        }
        // An environment reads its own files in the same way.
        expect(content.equals(await buffer(await env.openChannel(uri)))).toBe(true);
      }
    });

    test("[spark 34] what lies below a folder can be read, also what comes into it later", async () => {
      await using folder = await Folder.create();
      await using env = await server();
      await using other = await client();
      await folder.file("dir1/file", "one");
      await folder.file("dir2/sub dir/file2", "two");
      const dir1 = await env.fileServer.addDirectory("/dir1", `${folder.path}/dir1`);
      const dir2 = await env.fileServer.addDirectory("dir2/", `${folder.path}/dir2`);
      const deep = await env.fileServer.addDirectory("/dir2/../dir1/./a b/", `${folder.path}/dir2`);
      const place = RpcAddress.format(env.address as RpcAddress);
      expect([dir1, dir2, deep]).toEqual([`${place}/dir1`, `${place}/dir2`, `${place}/dir1/a%20b`]);
      expect(await fetched(other, `${dir1}/file`)).toBe("one");
      expect(await fetched(other, `${dir2}/sub%20dir/file2`)).toBe("two");
      // Of two bases the longer one.
      expect(await fetched(other, `${deep}/sub%20dir/file2`)).toBe("two");
      await folder.file("dir1/later", "three");
      expect(await fetched(other, `${dir1}/later`)).toBe("three");
    });

    test("[spark 34] a base that is reserved, or taken, however it is written, is refused", async () => {
      await using folder = await Folder.create();
      await mkdir(`${folder.path}/dir1`);
      await using env = await server();
      const refusal = async (base: string) =>
        expect(await failureOf(env.fileServer.addDirectory(base, `${folder.path}/dir1`))).toMatchObject({
          code: "ERR_RPC_INVALID_ARGUMENT",
          message: expect.stringContaining(JSON.stringify(base)),
        });
      for (const base of ["/files", "/files/", "files", "//files", "/a/../files", "/f%69les", "/files/below"]) {
        await refusal(base);
        await refusal(base.replace(/f(?:i|%69)les/, "jars"));
      }
      for (const base of ["", "/", "/..", "/a/../..", "/a?b", "/a#b", "/%", "/a%2fb", "/%00"]) await refusal(base);
      await env.fileServer.addDirectory("/dir1", `${folder.path}/dir1`);
      for (const base of ["dir1", "/dir1/", "//dir1", "/dir1/.", "/dir1/x/..", "/d%69r1"]) {
        expect(await failureOf(env.fileServer.addDirectory(base, `${folder.path}/dir1`))).toMatchObject({
          code: "ERR_RPC_INVALID_ARGUMENT",
          message: expect.stringContaining('URI "/dir1" is taken already'),
        });
      }
    });

    test("[spark 34] a file of another folder cannot take the name of one that is served", async () => {
      await using folder = await Folder.create();
      await using env = await server();
      const first = await folder.file("a/name", "1");
      const second = await folder.file("b/name", "2");
      const uri = await env.fileServer.addFile(first);
      const error = await failureOf(env.fileServer.addFile(second));
      expect(error.code).toBe("ERR_RPC_INVALID_ARGUMENT");
      expect(error.message).toContain(first);
      expect(await fetched(env, uri)).toBe("1");
      env.fileServer.removeFile("name");
      expect(await refusalOf(env, uri)).toBe("Stream '/files/name' was not found.");
      expect(await env.fileServer.addFile(second)).toBe(uri);
      expect(await fetched(env, uri)).toBe("2");
    });

    test("[spark 34] what is not there fails, and never looks like an empty file", async () => {
      await using folder = await Folder.create();
      await using env = await server();
      await using other = await client();
      const dir1 = await env.fileServer.addDirectory("/dir1", folder.path);
      await mkdir(`${folder.path}/a folder`);
      const place = RpcAddress.format(env.address as RpcAddress);
      for (const path of [
        "/files/doesNotExist",
        "/jars/doesNotExist",
        "/dir1/doesNotExist",
        "/dir1/a folder",
        "/dir1",
      ]) {
        expect(await refusalOf(other, encodeURI(place + path))).toBe(`Stream '${path}' was not found.`);
      }
      expect(await refusalOf(other, `${place}/unknown/file`)).toContain("Invalid stream URI: unknown not found.");
      // A connection on which something was refused serves the next.
      await folder.file("x", "there");
      expect(await fetched(other, `${dir1}/x`)).toBe("there");
    });
  });

  describe(`NettyStreamManagerSuite, ${form.name}`, () => {
    test("[spark 64] nothing outside of a folder can be read, by whatever name", async () => {
      await using folder = await Folder.create();
      await using env = await server();
      await using other = await client();
      await folder.file("served/inside/file", "inside");
      const secret = await folder.file("secret", "outside");
      await folder.file("served-not/file", "outside");
      await folder.link("served/link-in", "inside");
      await folder.link("served/inside/link-file", "../inside/file");
      await folder.link("served/link-out", "..");
      await folder.link("served/inside/link-secret", secret);
      await folder.link("served/link-chain", "link-out");
      await folder.link("served/link-round", "link-round");
      await folder.link("served/link-sibling", "../served-not/file");
      const base = await env.fileServer.addDirectory("/served", `${folder.path}/served`);
      for (const name of ["inside/file", "link-in/file", "inside/link-file", "link-in/link-file"]) {
        expect(await fetched(other, `${base}/${name}`)).toBe("inside");
      }
      for (const name of [
        "../secret",
        "../../secret",
        "inside/../../secret",
        "inside/../inside/file",
        "./inside/file",
        "%2e%2e/secret",
        "%2e%2e%2fsecret",
        "..%2fsecret",
        "inside%2f..%2f..%2fsecret",
        "%252e%252e/secret",
        "..\\secret",
        "..%5csecret",
        "../served-not/file",
        secret,
        encodeURIComponent(secret),
        `/${secret}`,
        "inside//file",
        "inside/file/",
        "inside/file%00",
        "inside%00/../../secret",
        "%00",
        "link-out/secret",
        "link-chain/secret",
        "link-out/served/inside/file/../../../secret",
        "inside/link-secret",
        "link-sibling",
        "link-round",
        "link-round/file",
        `${"x".repeat(300)}`,
        `${"x/".repeat(3_000)}x`,
      ]) {
        expect(await refusalOf(other, `${base}/${name}`)).toMatch(/^Stream '.*' was not found\.$/s);
      }
      // A link that leads out and in again is inside.
      expect(await fetched(other, `${base}/link-out/served/inside/file`)).toBe("inside");
      const file = await env.fileServer.addFile(await folder.link("name", "secret"));
      expect(await fetched(other, file)).toBe("outside");
      for (const name of ["../secret", "./name", "/name", "name/", "name%00", "secret"]) {
        expect(await refusalOf(other, file.replace(/name$/, name))).toMatch(/was not found/);
      }
    });
  });
}
