// How much memory a run will need: a step on random images in a process of its own, whose peak is read.

import { fork } from 'node:child_process';
import { freemem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { compiledProgram } from '@pgpc/datasets';
import type { Experiment } from '../config/experiment.js';

/** What a step needs of a device's memory, and what there is. */
export interface StepMemory {
  device: string;
  /** Bytes that a process may take of it. */
  available: number;
  /** Bytes at the step's peak: of the process's resident memory, or of the GPU's. */
  peak: number;
  /** Bytes that the optimizer keeps from the first step on, where `peak` does not hold them yet. */
  optimizer: number;
  /** Seconds of a step, without reading images. */
  seconds: number;
}

/** To the dry step. */
export interface DryStepTask {
  experiment: Experiment;
  device: string;
  plugins?: readonly string[] | undefined;
}

/** From it. A GPU's free memory is known only there; `full` is what was not enough. */
export type DryStepAnswer =
  | (Omit<StepMemory, 'device' | 'available'> & { available?: number; full?: undefined })
  | { full: number };

export interface MeasureOptions {
  /** 'cpu' by default. */
  device?: string;
  /** Bytes of this machine's memory that the step may take; all that are free by default. */
  available?: number;
  signal?: AbortSignal;
  /** Module files that register the parts of the experiment. */
  plugins?: readonly string[] | undefined;
}

const PROGRAM = compiledProgram(import.meta.url, './dry-step.js');

/** Bytes that this process may still take: what the system has available, or what is left of its limit. */
export function availableMemory(): number {
  const limit = process.constrainedMemory();
  const free = freemem();
  return limit > 0 && limit < Number.MAX_SAFE_INTEGER ? Math.min(free, limit) : free;
}

/**
 * Runs one step of an experiment, on a GPU a few, contrast included, with random images of its batch and crop, in a
 * process that on the CPU may take no more memory than there is.
 * @throws Error that says so if it does not fit; with the reason if the step itself fails.
 */
export async function measureStepMemory(
  experiment: Experiment,
  { device = 'cpu', available = availableMemory(), signal, plugins }: MeasureOptions = {},
): Promise<StepMemory> {
  const child = fork(fileURLToPath(PROGRAM), [], {
    // CUDA reserves addresses for the memory of all GPUs and of the machine: no limit would let it start.
    ...(device === 'cpu' && limitedTo(available)),
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    signal,
  });
  let stderr = '';
  child.stderr!.on('data', (text) => {
    stderr = `${stderr}${text}`.slice(-2000);
  });
  child.send({ experiment, device, plugins } satisfies DryStepTask);
  return new Promise((resolve, reject) => {
    let answer: DryStepAnswer | undefined;
    child.on('message', (message) => {
      answer = message as DryStepAnswer;
    });
    child.on('error', reject);
    child.on('close', (code, killed) => {
      if (answer?.full !== undefined) reject(new Error(tooLarge(answer.full, device)));
      else if (answer) resolve({ available, ...answer, device });
      else if (
        killed === 'SIGKILL' ||
        killed === 'SIGABRT' ||
        (device === 'cpu' && /alloc|memory/i.test(stderr))
      ) {
        reject(new Error(tooLarge(available, 'cpu')));
      } else reject(new Error(`the dry step failed (${killed ?? `exit code ${code}`}): ${lastLine(stderr)}`));
    });
  });
}

/** How `fork` starts a process with that much memory. */
function limitedTo(bytes: number): { execPath: string; execArgv: string[] } {
  // The limit is on addresses: a process reserves more of them than it uses.
  const reserve = 4 * 2 ** 30;
  const kib = Math.ceil((bytes + reserve) / 1024);
  return {
    execPath: '/bin/sh',
    execArgv: ['-c', `ulimit -v ${kib}; exec "$0" "$@"`, process.execPath],
  };
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

function tooLarge(available: number, device: string): string {
  const where = device === 'cpu' ? '' : ` on ${device}`;
  return `a training step needs more than the ${gib(available)} of memory that are free${where}: take a smaller --crop, a smaller --batch or a smaller --network, or --activation-checkpointing`;
}

/**
 * What a run takes beside the decoded images.
 * @throws Error if that is more than there is.
 */
export function checkFits({ peak, optimizer, available, device }: StepMemory): number {
  const needed = peak + optimizer;
  if (needed > available) throw new Error(`${tooLarge(available, device)} (measured: ${gib(needed)})`);
  return needed;
}

/** Bytes for people: '3.2 GiB'. */
export function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
