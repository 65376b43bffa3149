/** The race as a table: a line for each kind of work, with its figures side by side. */
import { type Cell, figure } from "../report.js";
import type { Series } from "../rounds.js";

/** @param rows of one kind of work each; their cells have the same figures, and two series. Titles are `work: figure`. */
export function raceTable(rows: readonly (readonly Cell[])[]): string[] {
  const [first = []] = rows;
  const heads = first.flatMap(({ title, series }) => {
    const [, what = ""] = title.split(": ");
    return [...series.map(({ name }) => `${what}, ${name}`), "ratio"];
  });
  const lines = [`| median (min to max) | ${heads.join(" | ")} |`, `|---${"|---".repeat(heads.length)}|`];
  for (const cells of rows) {
    const [work = ""] = (cells[0]?.title ?? "").split(": ");
    const columns = cells.flatMap(({ series }) => [...series.map(shown), ratio(series)]);
    lines.push(`| ${work} | ${columns.join(" | ")} |`);
  }
  return lines;
}

function shown({ median, min, max }: Series): string {
  return `${figure(median)} (${figure(min)} to ${figure(max)})`;
}

/** Ours by theirs. */
function ratio([ours, theirs]: readonly Series[]): string {
  return ours === undefined || theirs === undefined ? "" : `${(ours.median / theirs.median).toFixed(2)}x`;
}
