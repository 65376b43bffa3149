/**
 * Schedules as text. `a12b3` runs thread 0 for 12 steps, then thread 1 for 3; a capital letter is a split step (the
 * thread stops between its operation and what follows it); `!b` is the death of thread 1.
 */
import { CRASH, SPLIT } from "./execution.js";

const LETTER_A = 97;

export function formatSchedule(choices: readonly number[]): string {
  let text = "";
  for (let i = 0; i < choices.length; ) {
    const choice = choices[i] as number;
    let end = i + 1;
    while (end < choices.length && choices[end] === choice) end++;
    const letter = String.fromCharCode(LETTER_A + (choice % SPLIT));
    const token = choice >= CRASH ? `!${letter}` : choice >= SPLIT ? letter.toUpperCase() : letter;
    text += end - i === 1 ? token : `${token}${end - i}`;
    i = end;
  }
  return text;
}

export function parseSchedule(text: string): number[] {
  const choices: number[] = [];
  let rest = text;
  while (rest !== "") {
    const token = /^(!?)([a-jA-J])(\d*)/.exec(rest);
    if (token === null) throw new Error(`not a schedule: "${rest}" in "${text}"`);
    const [whole, death, letter, count] = token as unknown as [string, string, string, string];
    const thread = letter.toLowerCase().charCodeAt(0) - LETTER_A;
    const choice = death === "!" ? thread + CRASH : letter === letter.toUpperCase() ? thread + SPLIT : thread;
    for (let i = 0; i < (count === "" ? 1 : Number(count)); i++) choices.push(choice);
    rest = rest.slice(whole.length);
  }
  return choices;
}
