// Values of options: from the text on the command line to a checked value, or a message that says what is allowed.

import { accessSync, constants, mkdtempSync, rmdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Size } from '@pgpc/datasets';
import { InvalidArgumentError } from 'commander';
import { z } from 'zod';
import { rangeSchema } from '../config/data.js';
import { didYouMean } from '../config/did-you-mean.js';
import { type NetworkName, networkChoices, networkNamed } from '../config/segmentor.js';
import { isRunName, RUN_NAME_RULE } from '../training/run-directory/run-name.js';

export type { Size };

/** What a shell can complete a value to; of a list, each element. */
export type Completes = 'files' | 'folders' | { readonly words: readonly string[]; readonly list?: boolean };

/** Of schemas, and of the parsers that are made from them. */
const completions = new WeakMap<object, Completes>();

/** Says what a shell can complete a value to. @returns the same schema or parser. */
export function completing<T extends object>(completes: Completes, read: T): T {
  completions.set(read, completes);
  return read;
}

/** What is known of a parser's values; undefined: nothing. */
export function completesOf(parser: object): Completes | undefined {
  return completions.get(parser);
}

/** Turns a schema into commander's parser; the schema's message follows the option and its value. */
export function checkedBy<T>(schema: z.ZodType<T, string>): (text: string) => T {
  const parse = (text: string) => {
    const parsed = schema.safeParse(text);
    if (parsed.success) return parsed.data;
    throw new InvalidArgumentError(parsed.error.issues[0]!.message);
  };
  const completes = completions.get(schema);
  return completes ? completing(completes, parse) : parse;
}

/** Whole numbers from `least` to `most`, in decimal digits. */
export function integer(least: number, most = Number.MAX_SAFE_INTEGER): z.ZodType<number, string> {
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  const error = `must be a whole number ${range}`;
  return z
    .string()
    .regex(/^\d{1,16}$/, { error })
    .transform(Number)
    .pipe(z.number().min(least, { error }).max(most, { error }));
}

/** Seeds of the random number generators. */
export const seed = integer(0, 2 ** 32 - 1);

/** Numbers above zero, such as `6e-5`. */
export const positiveNumber: z.ZodType<number, string> = z
  .string()
  .regex(/^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i, { error: 'must be a number above 0' })
  .transform(Number)
  .pipe(z.number({ error: 'must be a finite number' }).positive({ error: 'must be a number above 0' }));

/** Numbers from 0 to `most`, such as `0.01`. */
export function upTo(most: number): z.ZodType<number, string> {
  const error = `must be a number from 0 to ${most}`;
  return z
    .string()
    .regex(/^(\d+\.?\d*|\.\d+)$/, { error })
    .transform(Number)
    .pipe(z.number().max(most, { error }));
}

/** `WIDTHxHEIGHT` in pixels, each from 16 to 8192. */
export const size: z.ZodType<Size, string> = z
  .string()
  .regex(/^\d{1,5}x\d{1,5}$/, { error: 'must be WIDTHxHEIGHT in pixels, such as 512x256' })
  .transform((text) => {
    const [width, height] = text.split('x').map(Number);
    return { width: width!, height: height! };
  })
  .refine((value) => [value.width, value.height].every((side) => side >= 16 && side <= 8192), {
    error: 'width and height must be from 16 to 8192 pixels',
  });

/** `LOW:HIGH`, two numbers. */
export const valueRange: z.ZodType<[low: number, high: number], string> = z
  .string()
  .regex(/^[-+]?[\d.]+(e[-+]?\d+)?:[-+]?[\d.]+(e[-+]?\d+)?$/i, {
    error: 'must be LOW:HIGH, the stored numbers that are black and white, such as 0:4095',
  })
  .transform((text) => text.split(':').map(Number) as [number, number])
  .pipe(rangeSchema);

/** One of a few words. */
export function oneOf<T extends string>(words: readonly T[]): z.ZodType<T, string> {
  const schema = z.string().transform((text, context) => {
    const word = words.find((candidate) => candidate === text);
    if (word !== undefined) return word;
    context.addIssue(`must be one of ${words.join(', ')}${didYouMean(text, words)}`);
    return z.NEVER;
  });
  return completing({ words }, schema);
}

/** Some of a few words, between commas. */
export function listOf<T extends string>(words: readonly T[]): z.ZodType<T[], string> {
  const schema = z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(oneOf(words)));
  return completing({ words, list: true }, schema);
}

/** Networks by name, in any spelling. */
export const networkName: z.ZodType<NetworkName, string> = completing(
  { words: networkChoices },
  z.string().transform((text, context) => {
    const name = networkNamed(text);
    if (name !== undefined) return name;
    context.addIssue(`must be one of ${networkChoices.join(', ')}${didYouMean(text, networkChoices)}`);
    return z.NEVER;
  }),
);

/** Names of runs. */
export const runName: z.ZodType<string, string> = z
  .string()
  .refine(isRunName, { error: `must be ${RUN_NAME_RULE}` });

/** Devices by name; what is there is found out when a command runs. */
export const deviceName: z.ZodType<string, string> = z
  .string()
  .regex(/^(auto|cpu|cuda(:\d{1,3})?)$/, { error: 'must be auto, cpu, cuda or cuda:N, such as cuda:0' });

/** Names and numbers of hosts. */
export const hostName: z.ZodType<string, string> = z
  .string()
  .regex(/^[\w.:-]{1,253}$/, { error: 'must be a name or a number of this machine, such as 0.0.0.0' });

/** Paths of files that exist. */
export const existingFile: z.ZodType<string, string> = existing('file');

/** Paths of folders that exist. */
export const existingFolder: z.ZodType<string, string> = existing('folder');

function existing(wanted: 'file' | 'folder'): z.ZodType<string, string> {
  const schema = z.string().transform((path, context) => {
    const kind = kindOf(path);
    if (kind === wanted) return path;
    context.addIssue(kind === undefined ? `there is no such ${wanted}` : `is a ${kind}, not a ${wanted}`);
    return z.NEVER;
  });
  return completing(`${wanted}s`, schema);
}

/** Paths of files or folders that exist. */
export const existingPath: z.ZodType<string, string> = completing(
  'files',
  z.string().refine((path) => kindOf(path) !== undefined, { error: 'there is no such file or folder' }),
);

/** Whether a text is a pattern for the names of files, rather than the name of one. */
export const isPattern = (text: string): boolean => /[*?[\]{}!()]/.test(text);

/** Paths of folders to write to: they may exist or not, but not as a file. */
export const outputFolder: z.ZodType<string, string> = completing(
  'folders',
  z
    .string()
    .min(1, { error: 'must name a folder' })
    .refine((folder) => kindOf(folder) !== 'file', { error: 'is a file, not a folder' })
    .refine((folder) => isWritable(folder), { error: 'cannot be written to' }),
);

/** Paths of files to write to, in folders that exist; `-` is standard output. */
export const outputFile: z.ZodType<string, string> = completing(
  'files',
  z
    .string()
    .min(1, { error: 'must name a file' })
    .refine((file) => kindOf(file) !== 'folder', { error: 'is a folder, not a file' })
    .refine((file) => kindOf(dirname(file)) === 'folder', { error: 'there is no such folder' })
    .refine((file) => file === '-' || isWritable(file), { error: 'cannot be written to' }),
);

/** Whether a file can be written to, or something be made in a folder, or in the nearest that is there of those above. */
function isWritable(path: string): boolean {
  const kind = kindOf(path);
  if (kind === undefined) {
    const above = dirname(path);
    return above !== path && kindOf(above) !== 'file' && isWritable(above);
  }
  try {
    if (kind === 'file') accessSync(path, constants.W_OK);
    // Permissions do not tell of file systems that are read-only, or not of files.
    else rmdirSync(mkdtempSync(join(path, '.pgpc-')));
    return true;
  } catch {
    return false;
  }
}

function kindOf(path: string): 'file' | 'folder' | undefined {
  try {
    return statSync(path).isDirectory() ? 'folder' : 'file';
  } catch {
    // Not there, inside of a file, or nothing that may be looked at.
    return undefined;
  }
}
