/** Goal: the uri of a file is read as it was written, whatever its name; nothing else is taken for one. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatFileUri, parseFileUri } from "../../../dist/src/rpc/file-uri.js";

test.each([
  [{ host: "localhost", port: 1 }, ["files", "a"], "ringpost://localhost:1/files/a"],
  [{ host: "127.0.0.1", port: 65_535 }, ["files", "a b"], "ringpost://127.0.0.1:65535/files/a%20b"],
  [{ host: "::1", port: 7 }, ["d", "100%"], "ringpost://[::1]:7/d/100%25"],
  [{ host: "h", port: 7 }, ["файл", "a/b?c#d"], "ringpost://h:7/%D1%84%D0%B0%D0%B9%D0%BB/a%2Fb%3Fc%23d"],
])("%j %j is %s", (address, segments, uri) => {
  expect(formatFileUri(address, segments)).toBe(uri);
  expect(parseFileUri(uri)).toEqual({ address, path: `/${segments.join("/")}` });
  expect(parseFileUri(uri.replace("ringpost", "spark"))).toEqual({ address, path: `/${segments.join("/")}` });
});

test("every name comes back", () => {
  const names = fc.array(fc.string({ unit: "grapheme", minLength: 1 }), { minLength: 1 });
  fc.assert(
    fc.property(names, (segments) => {
      const { path } = parseFileUri(formatFileUri({ host: "h", port: 1 }, segments));
      expect(path).toBe(`/${segments.join("/")}`);
    }),
  );
});

test("dots stay as they are: whoever serves the file decides", () => {
  expect(parseFileUri("ringpost://h:1/a/../%2e%2e/./b").path).toBe("/a/../.././b");
});

test.each([
  "",
  "/files/a",
  "ringpost:/h:1/a",
  "http://h:1/a",
  "ringpost://h/a",
  "ringpost://h:0/a",
  "ringpost://h:65536/a",
  "ringpost://h:1",
  "ringpost://h:1/",
  "ringpost://name@h:1/a",
  "ringpost://h:1/a?b",
  "ringpost://h:1/a#b",
  "ringpost://h:1/%",
  "ringpost://h:1/%ff",
])("%j is none", (uri) => {
  expect(() => parseFileUri(uri)).toThrow(expect.objectContaining({ code: "ERR_RPC_INVALID_ARGUMENT" }));
});
