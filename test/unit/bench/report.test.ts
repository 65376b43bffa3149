/** Goal: what a bench says about its targets is what it measured. Method: figures made up, verdicts read. */
import { describe, expect, test } from "vitest";
import { type BenchResult, best, Report, summary } from "../../../bench/report.js";
import { alternate, atDepth, type Group, median, rates, type Series } from "../../../bench/rounds.js";

function series(name: string, group: Group, values: readonly number[]): Series {
  return { name, group, values, median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

function reportOf(fill: (report: Report) => void, quick = false): { result: BenchResult; lines: string[] } {
  const lines: string[] = [];
  const report = new Report("made-up", quick, (line) => lines.push(line));
  fill(report);
  return { result: report.finish(), lines };
}

describe("a target", () => {
  test("is a ratio of medians; its range is the ratios round by round", () => {
    const { result } = reportOf((report) =>
      report.ratio(
        { row: "row", what: "what", atLeast: 2 },
        series("a", "ringpost", [10, 20, 60]),
        series("b", "ceiling", [5, 10, 10]),
      ),
    );
    expect(result.targets).toMatchObject([{ reached: 2, min: 2, max: 6, goal: 2, unit: "x" }]);
  });

  test.each([
    [{ atLeast: 2 }, 2, "reached  2.00x of 2x"],
    [{ atLeast: 2 }, 1.9, "MISSED   1.90x of 2x"],
    [{ atMost: 0.5 }, 0.5, "reached  0.50x of at most 0.5x"],
    [{ atMost: 0.5 }, 0.6, "MISSED   0.60x of at most 0.5x"],
    [{ atLeast: 2 }, Number.NaN, "MISSED   NaNx of 2x"],
  ])("%o with %d says %s", (goal, value, says) => {
    const { lines } = reportOf((report) => report.absolute({ row: "row", what: "what", ...goal }, "x", [value]));
    expect(lines[0]).toMatch(new RegExp(`^${says}  row: what`));
  });

  test("is not judged by a quick run", () => {
    const { result, lines } = reportOf((report) => report.absolute({ row: "r", what: "w", atMost: 1 }, "x", [9]), true);
    expect(result.targets).toEqual([]);
    expect(lines).toHaveLength(1);
  });

  test("stands in the table by the worst line of its row, ceilings and floors alike", () => {
    const { result } = reportOf((report) => {
      report.absolute({ row: "floor", what: "good", atLeast: 2 }, "x", [3]);
      report.absolute({ row: "floor", what: "bad", atLeast: 2 }, "x", [1]);
      report.absolute({ row: "ceiling", what: "bad", atMost: 2 }, "x", [3]);
      report.absolute({ row: "ceiling", what: "good", atMost: 2 }, "x", [1]);
    });
    const rows = summary([result]).slice(2);
    expect(rows).toEqual([
      expect.stringContaining("| floor | ≥ 2x | 1.00x (bad; 1 of 2) | 1.00 to 1.00 | MISSED |"),
      expect.stringContaining("| ceiling | ≤ 2x | 3.00x (bad; 1 of 2) | 3.00 to 3.00 | MISSED |"),
    ]);
  });
});

describe("the best of a group", () => {
  const cells = [
    { title: "1", unit: "per s", series: [series("slow", "tinypool", [1]), series("fast", "tinypool", [3])] },
    { title: "2", unit: "per s", series: [series("other", "workerpool", [9])] },
  ];

  test("is the highest figure, or the lowest where less is better", () => {
    expect(best(cells, ["tinypool"]).name).toBe("fast");
    expect(best(cells, ["tinypool"], "lowest").name).toBe("slow");
  });

  test("that was not measured is an error, not a figure", () => {
    expect(() => best(cells, ["poolifier"])).toThrow("nobody of poolifier was measured");
  });
});

describe("rounds", () => {
  test("turn the order around every other time, and each variant runs once in each", async () => {
    const order: string[] = [];
    const variant = (name: string) => ({
      name,
      group: "ringpost" as const,
      measure: async (round: number) => order.push(`${name}${round}`),
    });
    await alternate([variant("a"), variant("b")], 3);
    expect(order).toEqual(["a0", "b0", "b1", "a1", "a2", "b2"]);
  });

  test("end with a wrong answer", async () => {
    const wrong = { name: "liar", group: "ringpost" as const, batch: async (operations: number) => operations - 1 };
    await expect(rates([wrong], { rounds: 1, timeMs: 1, operationsMin: 8 })).rejects.toThrow(
      "liar: 7 of 8 answers were right",
    );
  });

  test("keep no more outstanding than their depth, and run each operation once", async () => {
    let outstanding = 0;
    let most = 0;
    const seen: number[] = [];
    const right = await atDepth(3, 10, async (index) => {
      most = Math.max(most, ++outstanding);
      await null;
      outstanding--;
      seen.push(index);
      return index !== 4;
    });
    expect({ right, most }).toEqual({ right: 9, most: 3 });
    expect(seen.toSorted((a, b) => a - b)).toEqual([...Array(10).keys()]);
  });
});
