// Suggestions for mistyped words.

/** ` (did you mean 'WORD'?)` with the nearest of the words, or nothing if none is near. */
export function didYouMean(text: string, words: readonly string[]): string {
  let nearest: string | undefined;
  // Up to two fifths of the letters may be wrong.
  let least = Math.floor(Math.max(2, text.length * 0.4)) + 1;
  for (const word of words) {
    const distance = editDistance(text.toLowerCase(), word.toLowerCase());
    if (distance < Math.min(least, word.length)) {
      least = distance;
      nearest = word;
    }
  }
  return nearest === undefined ? '' : ` (did you mean '${nearest}'?)`;
}

// Letters to insert, delete or replace (Levenshtein).
function editDistance(a: string, b: string): number {
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(last[j]! + 1, row[j - 1]! + 1, replaced));
    }
    last = row;
  }
  return last[b.length]!;
}
