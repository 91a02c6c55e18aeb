// Text in YAML as values, within bounds: the parser calls itself for every level, and at some thousand V8 ends the process.
import { Lexer, Parser, parse } from 'yaml';

/** Many times what a list of 254 classes needs. */
const MOST_CHARACTERS = 2 ** 20;
/** Collections inside of one another. */
const MOST_LEVELS = 50;

/**
 * What a text in YAML holds (JSON is YAML).
 * @throws Error in whose first line is what is wrong: for what is no YAML, is longer than 2^20 characters or deeper than 50 levels
 */
export function parseYaml(text: string): unknown {
  if (text.length > MOST_CHARACTERS) {
    throw new Error(`${text.length} characters of YAML, where ${MOST_CHARACTERS} are the most that are read`);
  }
  // Tokens alone, which takes no recursion: the stack is that of the collections that are open.
  const parser = new Parser();
  for (const lexeme of new Lexer().lex(text)) {
    for (const _ of parser.next(lexeme));
    if (parser.stack.length > MOST_LEVELS) {
      throw new Error(`lists or maps inside of one another, deeper than ${MOST_LEVELS} levels`);
    }
  }
  return parse(text);
}
