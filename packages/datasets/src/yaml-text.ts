// Text in YAML as values, within bounds: the parser calls itself for every level, and at some thousand V8 ends the process.
import { Lexer, LineCounter, Parser, parseDocument } from 'yaml';

/** Over 500 for each of 254 classes. The parser compares each key of a map with all others: ten times as many take minutes. */
const MOST_CHARACTERS = 2 ** 17;
/** Collections inside of one another. */
const MOST_LEVELS = 50;

/**
 * What a text in YAML holds (JSON is YAML).
 * @throws Error in whose first line is what is wrong: for what is no YAML, has a tag that is none of YAML's own or a key that is a list or map, is longer than 2^17 characters or deeper than 50 levels
 */
export function parseYaml(text: string): unknown {
  if (text.length > MOST_CHARACTERS) {
    throw new Error(`${text.length} characters of YAML, where ${MOST_CHARACTERS} are the most that are read`);
  }
  // Tokens alone, which takes no recursion: the stack is that of the collections that are open.
  const lines = new LineCounter();
  lines.addNewLine(0);
  const parser = new Parser(lines.addNewLine);
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) {
      // The first ends it: all of them, of a text of nothing else, take seconds and 100 MB.
      if (token.type === 'error')
        throw wrong(`${token.message}: ${JSON.stringify(token.source)}`, token.offset, lines);
    }
    if (parser.stack.length > MOST_LEVELS) {
      throw new Error(`lists or maps inside of one another, deeper than ${MOST_LEVELS} levels`);
    }
  }
  // Pretty errors quote the text, each anew, and a file may have as many errors as characters. A key that is a list or a map
  // would be made a text, and told of on standard error alone.
  const document = parseDocument(text, { prettyErrors: false, stringKeys: true });
  const first = document.errors[0] ?? document.warnings[0];
  if (first) {
    const what = first.code === 'NON_STRING_KEY' ? 'a key that is no text' : first.message;
    throw wrong(what, first.pos[0], lines);
  }
  return document.toJS();
}

function wrong(what: string, offset: number, lines: LineCounter): Error {
  const { line, col } = lines.linePos(offset);
  return new Error(`${what} at line ${line}, column ${col}`);
}
