// JSON from outside, looked at before it is parsed: what is deep or has millions of parts takes many times its size as values.

/** A header's object, an entry, and its shape: nothing lies deeper, and in an index less. */
const MOST_LEVELS = 3;
/** Commas and colons in the header, some ten for each entry: many times what the largest networks have. */
const MOST_PARTS = 1_000_000;

/**
 * Goes over a text in JSON, the header of a file of weights or the index of several, without parsing it.
 * @returns what it has too much of; and the keys of its object as they are written, in their order, with the repeated ones,
 * which JSON.parse would drop.
 */
export function walkJson(text: string): { excess?: string; keys: string[] } {
  const keys: string[] = [];
  const marks = /["{}[\]:,]/g;
  let [depth, parts, string] = [0, 0, ''];
  for (let mark = marks.exec(text); mark !== null; mark = marks.exec(text)) {
    if (mark[0] === '"') {
      marks.lastIndex = endOfString(text, mark.index);
      string = text.slice(mark.index, marks.lastIndex);
    } else if (mark[0] === '{' || mark[0] === '[') depth++;
    else if (mark[0] === '}' || mark[0] === ']') depth--;
    else {
      parts++;
      if (mark[0] === ':' && depth === 1) keys.push(string);
    }
    if (depth > MOST_LEVELS)
      return { excess: `has lists or objects deeper than ${MOST_LEVELS} levels`, keys };
    if (parts > MOST_PARTS) return { excess: `has more than ${MOST_PARTS} parts`, keys };
  }
  return { keys };
}

/** The index after the closing quote of the JSON string that opens at `start`; the text's end where none closes it. */
function endOfString(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); ; quote = text.indexOf('"', quote + 1)) {
    if (quote === -1) return text.length;
    let slashes = 0;
    while (text[quote - 1 - slashes] === '\\') slashes++;
    if (slashes % 2 === 0) return quote + 1;
  }
}
