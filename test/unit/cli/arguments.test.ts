/** Goal: what stands on a command line reaches its command as it was typed, also where it looks like a number. */
import { cac } from "cac";
import { expect, test } from "vitest";
import { parseArguments } from "../../../dist/src/cli/arguments.js";
import { UsageError } from "../../../dist/src/cli/exit.js";
import { integerOption, integersOption, numberOption, textOption, textsOption } from "../../../dist/src/cli/options.js";

function parsed(...argv: string[]) {
  const cli = cac("ringpost");
  cli.command("run [...texts]").option("--text <text>", "").option("--number <n>", "").option("--flag", "");
  cli.help();
  parseArguments(cli, ["node", "ringpost", ...argv]);
  return { command: cli.matchedCommandName, args: cli.args, options: cli.options };
}

test.each(["012", "007", "0x10", "1e3", "-5", "-1.5", " ", "1_000", "a=1", "7.0", "--text=012", "NaN", "true"])(
  "%j is a text",
  (text) => {
    expect(parsed("run", `--text=${text}`, "--flag").options).toEqual({ "--": [], text, flag: true });
    if (text.startsWith("--")) return;
    expect(textOption(parsed("run", "--text", text).options, "--text")).toBe(text);
    expect(textsOption(parsed("run", "--text", text, "--text", "5").options, "--text")).toEqual([text, "5"]);
    expect(parsed("run", text, "x", "--", text)).toMatchObject({ args: [text, "x"], options: { "--": [text] } });
  },
);

test("a text behind a flag is an argument as it was typed", () => {
  expect(parsed("--flag", "run", "--flag", "010")).toMatchObject({ command: "run", args: ["010"] });
});

test("an empty text is refused, as an argument and as a value", () => {
  expect(() => parsed("run", "")).toThrow(UsageError);
  expect(() => textOption(parsed("run", "--text", "").options, "--text")).toThrow("--text is empty");
  expect(() => textsOption(parsed("run", "--text", "a", "--text=").options, "--text")).toThrow("--text is empty");
});

test("numbers are read by the options that are numbers", () => {
  const range = { min: -10, max: 100 };
  const read = (text: string) => parsed("run", "--number", text).options;
  expect(integerOption(read("-5"), "--number", range)).toBe(-5);
  expect(numberOption(read("0.5"), "--number", range)).toBe(0.5);
  expect(integersOption(read("1,2"), "--number", range)).toEqual([1, 2]);
  for (const text of ["", " ", "x", "101", "1,2"]) {
    expect(() => integerOption(read(text), "--number", range)).toThrow(UsageError);
    expect(() => numberOption(read(text), "--number", range)).toThrow(UsageError);
  }
  expect(() => integersOption(read("1,,2"), "--number", range)).toThrow(UsageError);
  expect(() => textOption(parsed("run", "--text", "a", "--text", "b").options, "--text")).toThrow("given once");
});
