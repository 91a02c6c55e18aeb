// `--json`: what a command comes to, as one document for programs.

import { UsageError } from '../../config/usage-error.js';
import { isFollower } from '../../training/rank.js';
import type { Action, JsonChoice } from '../command.js';
import { type CommandIo, isStop } from '../io.js';
import { beside, writeText } from './text-file.js';

/** Adds fields to the document; one that is told again replaces what it was. */
export type Tell = (fields: object) => void;

/** A command whose only other output is its streams, by {@link withJson}. @throws what `run` throws. */
export function telling<Options extends object>(
  run: (options: Options, io: CommandIo, tell: Tell) => Promise<void>,
): Action<Options & JsonChoice> {
  return ({ json, ...options }, own) =>
    withJson(json, own, (io, tell) => run(options as unknown as Options, io, tell));
}

/**
 * Runs a command that may be asked for JSON. Where that goes to standard output, all else that the command says is on standard
 * error. The document comes once, at the end, however that comes, but not for wrong usage, when nothing was done: `outcome` is
 * 'finished', 'stopped' or 'failed', as the exit code is 0, 128 and more, or 1; `error` is the message of a failure; then what was
 * told. A number that does not exist is null. Of several processes rank 0 writes it.
 * @param asked where it goes, '-' for standard output; undefined: none is wanted.
 * @param other another file that the command writes, which may be standard output too.
 * @throws what `run` throws, once the document is written.
 */
export async function withJson(
  asked: string | undefined,
  own: CommandIo,
  run: (io: CommandIo, tell: Tell) => Promise<void>,
  other?: string,
): Promise<void> {
  const file = isFollower() ? undefined : asked;
  const io = beside(own, file, other);
  const fields = {};
  const write = (end: { outcome: string; error?: string }) => {
    if (file === undefined) return;
    const text = `${JSON.stringify({ ...end, ...fields }, null, 2)}\n`;
    io.stdout.write(writeText('results', file, text, own));
  };
  try {
    await run(io, (told) => Object.assign(fields, told));
  } catch (error) {
    if (isStop(error, own.signal)) write({ outcome: 'stopped' });
    else if (!(error instanceof UsageError)) {
      write({ outcome: 'failed', error: error instanceof Error ? error.message : String(error) });
    }
    throw error;
  }
  write({ outcome: own.signal.aborted ? 'stopped' : 'finished' });
}
