// How much memory a run will need: a step on random images in a process of its own, whose peak is read.

import { fork } from 'node:child_process';
import { freemem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { compiledProgram } from '../compiled.js';
import type { Experiment } from './experiment.js';

/** What the dry step reports. */
export interface StepMemory {
  /** Peak of the process's resident memory in the step, bytes. */
  peak: number;
  /** Bytes that the optimizer keeps from the first step on, which that step's peak does not hold yet. */
  optimizer: number;
  /** Seconds of the step. */
  seconds: number;
}

const PROGRAM = compiledProgram(import.meta.url, './dry-step.js');

/** Bytes that this process may still take: what the system has available, or what is left of its limit. */
export function availableMemory(): number {
  const limit = process.constrainedMemory();
  const free = freemem();
  return limit > 0 && limit < Number.MAX_SAFE_INTEGER ? Math.min(free, limit) : free;
}

/**
 * Runs one step of an experiment, contrast included, with random images of its batch and crop, in a process that may
 * take no more memory than there is.
 * @throws Error that says so if it does not fit; with the reason if the step itself fails.
 */
export async function measureStepMemory(
  experiment: Experiment,
  available: number,
  signal?: AbortSignal,
): Promise<StepMemory> {
  // The limit is on addresses, of which a process reserves more than it uses.
  const reserve = 4 * 2 ** 30;
  const kib = Math.ceil((available + reserve) / 1024);
  const child = fork(fileURLToPath(PROGRAM), [], {
    execPath: '/bin/sh',
    execArgv: ['-c', `ulimit -v ${kib}; exec "$0" "$@"`, process.execPath],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    signal,
  });
  let stderr = '';
  child.stderr!.on('data', (text) => {
    stderr = `${stderr}${text}`.slice(-2000);
  });
  child.send(experiment);
  return new Promise((resolve, reject) => {
    let answer: StepMemory | undefined;
    child.on('message', (message) => {
      answer = message as StepMemory;
    });
    child.on('error', reject);
    child.on('close', (code, killed) => {
      if (answer) resolve(answer);
      else if (killed === 'SIGKILL' || killed === 'SIGABRT' || /alloc|memory/i.test(stderr)) {
        reject(new Error(tooLarge(available)));
      } else reject(new Error(`the dry step failed (${killed ?? `exit code ${code}`}): ${lastLine(stderr)}`));
    });
  });
}

function lastLine(text: string): string {
  return (
    text
      .trim()
      .split('\n')
      .findLast((line) => /error/i.test(line)) ??
    text.trim().split('\n').at(-1) ??
    ''
  );
}

function tooLarge(available: number): string {
  return `a training step needs more than the ${gib(available)} of memory that are free: take a smaller --crop, a smaller --batch or a smaller --network, or --activation-checkpointing`;
}

/**
 * What a run takes beside the decoded images.
 * @throws Error if that is more than there is.
 */
export function checkFits({ peak, optimizer }: StepMemory, available: number): number {
  const needed = peak + optimizer;
  if (needed > available) throw new Error(`${tooLarge(available)} (measured: ${gib(needed)})`);
  return needed;
}

/** Bytes for people: '3.2 GiB'. */
export function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
