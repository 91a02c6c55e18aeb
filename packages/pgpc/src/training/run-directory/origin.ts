// What a run says of where it comes from: the code's revision and the machine.

import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

/** The git revision of the code in `directory`, this package by default, with `-dirty` if files differ from it; undefined outside git. */
export function gitRevision(directory = fileURLToPath(new URL('..', import.meta.url))): string | undefined {
  const git = (...args: string[]) =>
    execFileSync('git', args, {
      cwd: directory,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    const revision = git('rev-parse', 'HEAD');
    return git('status', '--porcelain') === '' ? revision : `${revision}-dirty`;
  } catch {
    return undefined;
  }
}

export function describeMachine(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${process.platform} ${process.arch}, ${model}, ${availableParallelism()} threads, ${memory} GiB`;
}
