// Text in JSON as values, within bounds: what walks over values calls itself for every level, and at some thousand ends.

/** Lists and objects inside of one another; configurations have ten. */
const MOST_LEVELS = 100;

/** Strings as a whole, so that brackets in them do not count, and brackets. */
const MARKS = /"(?:[^"\\]|\\.)*"?|[[\]{}]/gs;

/**
 * What a text in JSON holds.
 * @throws SyntaxError for what is no JSON; Error for lists and objects inside of one another, deeper than 100 levels
 */
export function parseJson(text: string): unknown {
  if (mayBeDeep(text)) {
    let depth = 0;
    for (const [mark] of text.matchAll(MARKS)) {
      if (mark === '[' || mark === '{') depth++;
      else if (mark === ']' || mark === '}') depth--;
      if (depth > MOST_LEVELS) {
        throw new Error(`lists or objects inside of one another, deeper than ${MOST_LEVELS} levels`);
      }
    }
  }
  return JSON.parse(text) as unknown;
}

/** Whether a text opens more than so many lists and objects at all. */
function mayBeDeep(text: string): boolean {
  let opened = 0;
  for (const bracket of '[{') {
    for (let at = text.indexOf(bracket); at >= 0; at = text.indexOf(bracket, at + 1)) {
      if (++opened > MOST_LEVELS) return true;
    }
  }
  return false;
}
