/** Words, whom they belong to, and how they are written down. */

/** Adds the words of a text to `counts`. */
export function countWords(text: string, counts: Map<string, number>): void {
  for (const [word] of text.toLowerCase().matchAll(/\p{Letter}+/gu)) counts.set(word, (counts.get(word) ?? 0) + 1);
}

/** The reducer of a word: the same one for every mapper. */
export function reducerOf(word: string, reducers: number): number {
  let hash = 0;
  for (let index = 0; index < word.length; index++) hash = (Math.imul(31, hash) + word.charCodeAt(index)) >>> 0;
  return hash % reducers;
}

/** One line for each word. */
export function writeCounts(counts: Iterable<readonly [word: string, count: number]>): Buffer {
  return Buffer.from([...counts].map(([word, count]) => `${word} ${count}\n`).join(""));
}

/** Adds what `writeCounts` has written. */
export function addCounts(bytes: Uint8Array, counts: Map<string, number>): void {
  for (const line of Buffer.from(bytes).toString().split("\n")) {
    const [word = "", count = "0"] = line.split(" ");
    if (word !== "") counts.set(word, (counts.get(word) ?? 0) + Number(count));
  }
}
