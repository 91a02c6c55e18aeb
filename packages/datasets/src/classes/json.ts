// Reading the JSON files of published data sets that name their classes.

import type { z } from 'zod';
import { fault } from '../errors.js';
import { parseJson } from '../files/json-text.js';
import { parsedBy } from '../files/parsed-by.js';
import { readText } from '../files/text.js';
import { misformed } from './yaml.js';

/**
 * What a JSON file holds.
 * @param expected what it should hold, for the message
 * @throws {DatasetError} when it is missing or not of this form
 */
export async function readJson<T>(file: string, schema: z.ZodType<T>, expected: string): Promise<T> {
  let json: unknown;
  try {
    json = parseJson(await readText(file));
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const reason = (error as Error).message.split('\n')[0];
    const why = missing ? 'not found, but it names the classes' : `not a readable JSON file (${reason})`;
    throw fault(missing ? 'missing' : 'definition', file, `${why}; restore or export it again`, error);
  }
  const parsed = parsedBy(schema, json);
  if (!parsed.success) throw misformed(file, parsed.error, `${expected} are expected`);
  return parsed.data;
}
