// What a reader may do with a file: read it, or refuse it with an error of the project's own kinds that names the file.

const KINDS = new Set(['Error', 'DatasetError', 'WeightsFileError', 'UsageError']);
const MOST_CHARACTERS = 4000;

/** What a reader did that it must not do. */
export class Fault extends Error {
  /** @param what in one line; faults of one kind have the same. */
  constructor(what, cause) {
    super(what, { cause });
  }
}

/** Calls a reader. @returns what it read; undefined where it refused the file. @throws Fault */
export async function judged(reader, file, read) {
  try {
    return await read();
  } catch (error) {
    if (error instanceof Fault) throw error;
    throwUnlessFair(reader, file, error);
    return undefined;
  }
}

function throwUnlessFair(reader, file, error) {
  if (!(error instanceof Error)) throw new Fault(`${reader}: throws what is no error`, error);
  // A class of the project may have the plain name; the system's errors have a code.
  const kind = error.constructor === Error ? 'Error' : error.constructor.name;
  const where = placeOf(error);
  if (!KINDS.has(kind) || error.code !== undefined) {
    throw new Fault(`${reader}: ${error.code ?? kind} ${where}`, error);
  }
  if (!error.message.includes(file)) {
    throw new Fault(`${reader}: names no file ${where}`, error);
  }
  if (error.message.length > MOST_CHARACTERS + file.length) {
    throw new Fault(
      `${reader}: an error of ${10 ** Math.round(Math.log10(error.message.length))} characters ${where}`,
      error,
    );
  }
}

/** The first line of the project's own in the stack. */
function placeOf({ stack = '' }) {
  const line = stack
    .split('\n')
    .find((text) => /\/dist\/.*\.js:\d+/.test(text) && !text.includes('node_modules/zod'));
  return line === undefined ? '' : `(${/dist\/(.*\.js:\d+)/.exec(line)[1]})`;
}

const GLOBALS = [Object.prototype, Array.prototype, Function.prototype, String.prototype, Map.prototype];
const before = GLOBALS.map((one) => Object.getOwnPropertyNames(one).length);

/** @throws Fault if a prototype that all objects share has got or lost a property */
export function checkPrototypes() {
  for (const [i, one] of GLOBALS.entries()) {
    if (Object.getOwnPropertyNames(one).length !== before[i]) throw new Fault('a prototype was changed');
  }
}

/** @throws Fault if what was read is not what it should be */
export function expectSame(reader, what, found, expected) {
  if (found !== expected)
    throw new Fault(`${reader}: read wrongly: ${what}`, new Error(`${found} instead of ${expected}`));
}
