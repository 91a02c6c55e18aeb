// Reading the objects of long lists in JSON files one by one: annotations of a hundred thousand images fill gigabytes.
import { createReadStream } from 'node:fs';
import { type DatasetError, fault } from '../errors.js';
import { parseJson } from './json-text.js';

/** What is done with each object of a list, by the list's name in the file's object; '' for a file that is a list. */
export type ElementHandlers = Readonly<Record<string, (element: unknown) => void>>;

const [QUOTE, ESCAPE, COLON, COMMA] = [0x22, 0x5c, 0x3a, 0x2c];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/**
 * Hands the objects of lists at the top of a JSON file to their handlers, in the file's order; other lists, and elements
 * that are no objects, are passed over.
 * @throws {DatasetError} when the file is missing or no whole JSON; also what a handler throws
 */
export async function forEachElement(file: string, handlers: ElementHandlers): Promise<void> {
  const splitter = new Splitter(handlers, (why, cause) => unreadable(file, why, cause));
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: 2 ** 20 })) splitter.read(chunk);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw missing ? fault('missing', file, 'not found') : unreadable(file, (error as Error).message, error);
  }
  splitter.end();
}

function unreadable(file: string, why: string, cause?: unknown): DatasetError {
  return fault('undecodable', file, `not a readable JSON file (${why.split('\n')[0]})`, cause);
}

/** Finds where the objects begin and end; `JSON.parse` reads them. */
class Splitter {
  /** Open lists and objects. */
  #depth = 0;
  #inString = false;
  /** The next byte of a string means nothing. */
  #escaped = false;
  /** The file is a list. */
  #isList = false;
  /** The string that is read at depth 1, a name if a colon follows, and the last such name. */
  #text: number[] | undefined;
  #name = '';
  #act: ((element: unknown) => void) | undefined;
  /** The parts of the object that is read; undefined between objects. */
  #parts: Buffer[] | undefined;

  constructor(
    readonly handlers: ElementHandlers,
    readonly fail: (why: string, cause?: unknown) => DatasetError,
  ) {}

  read(chunk: Buffer): void {
    let from = 0;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]!;
      if (this.#inString) {
        this.#readText(byte);
        continue;
      }
      switch (byte) {
        case QUOTE:
          this.#inString = true;
          if (this.#depth === 1 && !this.#isList) this.#text = [];
          break;
        case COLON:
          if (this.#depth === 1 && this.#text) this.#name = Buffer.from(this.#text).toString();
          break;
        case COMMA:
          if (this.#depth === 1) this.#text = undefined;
          break;
        case OPEN_LIST:
        case OPEN_OBJECT:
          if (this.#opens(byte)) {
            this.#parts = [];
            from = i;
          }
          break;
        case CLOSE_LIST:
        case CLOSE_OBJECT:
          this.#depth--;
          if (this.#parts && this.#depth === this.#listDepth) {
            this.#parts.push(chunk.subarray(from, i + 1));
            this.#finish();
          } else if (this.#depth < this.#listDepth) this.#act = undefined;
      }
    }
    this.#parts?.push(chunk.subarray(from));
  }

  end(): void {
    if (this.#depth !== 0 || this.#inString) throw this.fail('it ends early');
  }

  get #listDepth(): number {
    return this.#isList ? 1 : 2;
  }

  #readText(byte: number): void {
    if (this.#escaped) this.#escaped = false;
    else if (byte === ESCAPE) this.#escaped = true;
    else if (byte === QUOTE) {
      this.#inString = false;
      return;
    }
    if (this.#depth === 1) this.#text?.push(byte);
  }

  /** Notes that a list or object opens. @returns whether it is an element */
  #opens(byte: number): boolean {
    const depth = this.#depth++;
    if (depth === 0) this.#isList = byte === OPEN_LIST;
    if (depth === this.#listDepth) {
      return byte === OPEN_OBJECT && this.#parts === undefined && this.#act !== undefined;
    }
    if (depth === this.#listDepth - 1) {
      const known = byte === OPEN_LIST && Object.hasOwn(this.handlers, this.#name);
      this.#act = known ? this.handlers[this.#name] : undefined;
    }
    return false;
  }

  #finish(): void {
    let element: unknown;
    try {
      element = parseJson(Buffer.concat(this.#parts!).toString());
    } catch (error) {
      throw this.fail((error as Error).message, error);
    }
    this.#parts = undefined;
    this.#act!(element);
  }
}
