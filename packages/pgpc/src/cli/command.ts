// Pieces that every command's definition uses.
import { type Command, Option } from 'commander';
import type { z } from 'zod';
import type { Handlers } from './handlers.js';
import type { CommandIo } from './io.js';
import { checkedBy } from './values.js';

/** Adds one command to its parent. */
export type Register = (parent: Command, handlers: Handlers, io: CommandIo) => void;

/** A command line that cannot be carried out as it stands; the message names the option and what is allowed. */
export class UsageError extends Error {}

/** An option with a value that the schema checks. `shown` is how help writes the default. */
export function option<T>(
  flags: string,
  description: string,
  schema: z.ZodType<T, string>,
  fallback?: T,
  shown?: string,
): Option {
  const made = new Option(flags, description).argParser(checkedBy(schema));
  return fallback === undefined ? made : made.default(fallback, shown);
}

/** The examples at the end of a help text. */
export function examples(...lines: readonly string[]): string {
  return `\n${lines.length === 1 ? 'Example' : 'Examples'}:\n${lines.map((line) => `  ${line}\n`).join('')}`;
}
