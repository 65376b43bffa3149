/** Goal: a key says nothing of its secret, is the same everywhere, and is not made of a secret that can be guessed. */
import { hkdfSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
  checkAppId,
  formatIdentity,
  parseIdentity,
  preSharedKeys,
  type Secret,
} from "../../../dist/src/network/secret.js";

const TEXT = "correct horse battery staple, and more of it";

function refusal(secrets: unknown): string {
  try {
    preSharedKeys(secrets as Secret);
  } catch (error) {
    expect(error).toMatchObject({ code: "ERR_RPC_INVALID_ARGUMENT" });
    return (error as Error).message;
  }
  throw new Error("nothing was thrown");
}

describe("a key", () => {
  test("is HKDF-SHA256 of the secret, under a name of its own", () => {
    const [key] = preSharedKeys(TEXT);
    expect(Buffer.from(key?.key ?? [])).toEqual(Buffer.from(hkdfSync("sha256", TEXT, "", "ringpost psk v1", 32)));
    expect(key?.id).toBe(Buffer.from(hkdfSync("sha256", TEXT, "", "ringpost psk v1 id", 6)).toString("hex"));
  });

  test("is that of the text's UTF-8 bytes, and of each of several secrets in order", () => {
    const [first, second] = preSharedKeys([TEXT, new Uint8Array(32)]);
    expect(preSharedKeys(new TextEncoder().encode(TEXT))).toEqual([first]);
    expect(preSharedKeys(new Uint8Array(32))).toEqual([second]);
  });
});

describe("a secret", () => {
  test("of less than 32 bytes is refused, and does not stand in the text", () => {
    const short = TEXT.slice(0, 31);
    expect(refusal(short)).toBe(
      "secret is too short to be safe: bytes=31, min=32; make one with: openssl rand -hex 32",
    );
    expect(refusal([TEXT, short])).not.toContain(short);
    expect(preSharedKeys(TEXT.slice(0, 32))).toHaveLength(1);
  });

  test.each([
    [[], /at least one/],
    [[TEXT, TEXT], /same one twice/],
    [42, /a string or a Uint8Array: it is number/],
    [null, /it is null/],
  ])("%j is refused", (secrets, text) => {
    expect(refusal(secrets)).toMatch(text);
  });
});

test("an identity can be read back, whatever the application's id", () => {
  for (const appId of ["app", "a:b:c", "urn:x", ":"]) {
    expect(parseIdentity(formatIdentity(appId, "0123"))).toEqual({ appId, keyId: "0123" });
  }
  expect(["", "app", ":0123"].map(parseIdentity)).toEqual([null, null, null]);
});

test.each(["", "a b", "é", "a\n", "x".repeat(101)])("%j is no id of an application", (appId) => {
  expect(() => checkAppId(appId)).toThrow(/appId must be 1 to 100 printable ASCII characters/);
});
