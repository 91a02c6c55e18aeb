// Pieces that every command's definition uses.
import { type Command, Option } from 'commander';
import type { z } from 'zod';
import { describeParts } from '../config/parts.js';
import type { CommandIo } from './io.js';
import { checkedBy, outputFile, valueRange } from './values.js';

/** Carries out a command whose options have been checked. Loads what it needs: `--help` must not wait for libtorch. */
export type Action<Options> = (options: Options, io: CommandIo) => Promise<void>;

/** Runs a command's own action, or what stands in for the action of this name. */
export type Act = <Options>(name: string, own: Action<Options>, options: Options) => Promise<void>;

/** Adds one command to its parent. */
export type Register = (parent: Command, act: Act) => void;

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

/** `--range`. */
export function rangeOption(): Option {
  return option(
    '--range <LOW:HIGH>',
    'stored numbers of images of more than 8 bits that are black and white (default: the whole scale)',
    valueRange,
  );
}

/** Options of a command whose results a program can read. */
export interface JsonChoice {
  /** File for the document, '-' for standard output; undefined: none is written. */
  readonly json: string | undefined;
}

/** `--json`, alone for standard output. */
export function jsonOption(): Option {
  return option(
    '--json [file]',
    'file for the results as one JSON document, at the end; without a file standard output has it, and nothing else',
    outputFile,
  ).preset('-');
}

/** The examples at the end of a help text. */
export function examples(...lines: readonly string[]): string {
  return `\n${lines.length === 1 ? 'Example' : 'Examples'}:\n${lines.map((line) => `  ${line}\n`).join('')}`;
}

/** The options that plugins have registered; nothing without any. */
export function pluginHelp(): string {
  const lines = describeParts();
  return lines.length === 0
    ? ''
    : `\nOptions of plugins, for --set:\n${lines.map((line) => `  ${line}`).join('\n')}`;
}

/** `1 file was`, `2 files were`. */
export function filesWere(n: number): string {
  return `${count(n, 'file')} ${n === 1 ? 'was' : 'were'}`;
}

/** `1 run`, `2 runs`. */
export function count(n: number, what: string, several = `${what}s`): string {
  return `${n} ${n === 1 ? what : several}`;
}
