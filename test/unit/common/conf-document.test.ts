/** Goal: docs/conf.md says of each key what the code does with it. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { CONF_TABLE, confNames, findConfKey } from "../../../dist/src/common/conf-names.js";
import { RpcConf } from "../../../dist/src/common/rpc-conf.js";
import { confRows } from "./conf-rows.js";

const document = readFileSync(new URL("../../../docs/conf.md", import.meta.url), "utf8");
const SECTIONS = {
  now: "Read by this version",
  network: "Read once environments talk to each other",
  none: "Accepted, without effect",
} as const;

describe("docs/conf.md", () => {
  test.each(Object.entries(SECTIONS))("has the keys of effect %s under %j, and no others", (effect, title) => {
    const [, section = ""] = document.split(`## ${title}\n`);
    const rows = (section.split("\n## ")[0] ?? "").split("\n").filter((line) => line.startsWith("| `"));
    expect(rows).toEqual(confRows(effect as keyof typeof SECTIONS));
  });
});

describe("the table", () => {
  test("knows every name once, so that no setting is read under another's", () => {
    const names = CONF_TABLE.flatMap(({ key, aliases }) => [key, ...aliases]);
    expect(new Set(names).size).toBe(names.length);
  });

  test("has names that stay apart when case and separators are gone, as in environment variables", () => {
    const names = [...confNames()].map((name) => name.toLowerCase().replace(/[^a-z0-9]/g, ""));
    expect(new Set(names).size).toBe(names.length);
  });

  test("has fallbacks that exist, and defaults that its own checks accept", () => {
    for (const { key, fallback, default: value } of CONF_TABLE) {
      const own = key.replace("<module>", "rpc");
      if (fallback !== undefined) expect(findConfKey(fallback.replace("<module>", "rpc"))).toBeDefined();
      if (value === null) continue;
      const spec = findConfKey(own)?.spec;
      const text = spec?.kind === "time" && Number.isFinite(value) ? `${value}ms` : String(value);
      const written = spec?.kind === "size" ? `${value}b` : text;
      expect(() => new RpcConf({ [own]: written }), own).not.toThrow();
    }
  });
});
