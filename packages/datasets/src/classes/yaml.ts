// Reading the files that people write: YAML, and what is wrong with it in one line.

import { z } from 'zod';
import { DatasetError, fault } from '../errors.js';
import { readText } from '../files/text.js';
import { parseYaml } from '../yaml-text.js';
import { type Color, unpacked } from './colors.js';

/** `'#rrggbb'`, or three numbers of 0 to 255. */
export const colorSchema = z.union(
  [
    z
      .string()
      .regex(/^#[0-9a-f]{6}$/i)
      .transform((text): Color => unpacked(Number.parseInt(text.slice(1), 16))),
    z.tuple([z.int().min(0).max(255), z.int().min(0).max(255), z.int().min(0).max(255)]),
  ],
  {
    error: "a colour is '#rrggbb', in quotes (# begins a comment in YAML), or [red, green, blue] of 0 to 255",
  },
);

/** What a YAML file holds (JSON is YAML). @throws {DatasetError} when it is missing or no YAML */
export async function readYaml(file: string): Promise<unknown> {
  try {
    return parseYaml(await readText(file));
  } catch (error) {
    if (error instanceof DatasetError) throw error;
    const reason = (error as Error).message.split('\n')[0];
    throw fault('definition', file, `cannot be read (${reason}); see the guide to datasets`, error);
  }
}

/** The error for a file that is not as it should be: its first fault, and where. @param expected ends the line */
export function misformed(file: string, { issues: [issue] }: z.ZodError, expected: string): DatasetError {
  const where = issue!.path.length > 0 ? `at ${issue!.path.join('.')}: ` : '';
  return fault('definition', file, `${where}${issueText(issue!)}; ${expected}`);
}

function issueText(issue: z.core.$ZodIssue): string {
  // Of a union's branches the last, most detailed one says what to write.
  const nested = issue.code === 'invalid_union' ? issue.errors.at(-1)?.[0] : undefined;
  return nested !== undefined && issue.message === 'Invalid input' ? nestedText(nested) : issue.message;
}

function nestedText(issue: z.core.$ZodIssue): string {
  const where = issue.path.length > 0 ? `${issue.path.join('.')}: ` : '';
  return `${where}${issueText(issue)}`;
}
