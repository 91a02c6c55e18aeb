// Trainings side by side, each in a process of its own: which may start, how they are watched and how they are stopped.

import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { compiledProgram } from '@pgpc/datasets';
import type { BranchMessage, BranchTask } from './branch-program.js';
import type { CommandIo } from './io.js';
import { type Progress, progress } from './output/progress.js';

const PROGRAM = compiledProgram(import.meta.url, './branch-program.js');

/** Something to do, perhaps after something else. */
export interface Job {
  readonly name: string;
  /** The name of the job that has to have ended well before. */
  readonly after?: string | undefined;
  /** No job of a later turn starts while one of an earlier turn waits; jobs are in the order of their turns. */
  readonly turn?: number | undefined;
}

/**
 * Runs jobs, up to `lanes` at once and in their order as far as what they wait for allows; starts none once the signal
 * is aborted.
 * @param run says whether what comes after the job can start. Where it throws, no other job is started, and the error is
 *   thrown once those that run have ended.
 * @throws the signal's reason when it is aborted, once those that run have ended.
 */
export async function inLanes<T extends Job>(
  jobs: readonly T[],
  lanes: number,
  signal: AbortSignal,
  run: (job: T) => Promise<boolean>,
): Promise<void> {
  let waiting = [...jobs];
  const running = new Map<string, Promise<void>>();
  const ended = new Set<string>();
  const failures: unknown[] = [];
  /** What comes after the job, and after that. */
  const giveUp = (name: string) => {
    const lost = waiting.filter(({ after }) => after === name);
    waiting = waiting.filter(({ after }) => after !== name);
    for (const job of lost) giveUp(job.name);
  };
  while (waiting.length > 0 || running.size > 0) {
    const ready = waiting.findIndex(
      ({ after, turn }) => (after === undefined || ended.has(after)) && turn === waiting[0]!.turn,
    );
    if (ready >= 0 && running.size < lanes && failures.length === 0 && !signal.aborted) {
      const [job] = waiting.splice(ready, 1) as [T];
      const task = run(job)
        .then((well) => {
          if (well) ended.add(job.name);
          else giveUp(job.name);
        })
        .catch((error: unknown) => {
          failures.push(error);
        })
        .finally(() => running.delete(job.name));
      running.set(job.name, task);
    } else if (running.size > 0) await Promise.race(running.values());
    else break;
  }
  signal.throwIfAborted();
  if (failures.length > 0) throw failures[0];
}

export type BranchEnd = Extract<BranchMessage, { kind: 'end' }>;
export type BranchLog = Extract<BranchMessage, { kind: 'log' }>;

/** Trainings at once, unless it is said: as many as cores, of which on a GPU each takes several, and memory. */
export function jobsOn(device: string): number {
  return device === 'cpu' ? availableParallelism() : Math.min(4, availableParallelism());
}

/**
 * Decoding threads of each of so many trainings at once. On the CPU they would take the cores from the trainings; next
 * to a GPU, a training that decodes itself would keep it waiting.
 */
export function workersOn(device: string, jobs: number): number {
  if (device === 'cpu') return 0;
  return Math.max(1, Math.min(3, Math.floor(availableParallelism() / jobs) - 1));
}

/** The trainings under way, with one bar for all of them on a terminal, and lines of each elsewhere. */
export class Branches {
  readonly #bar: Progress | undefined;
  readonly #losses: Record<string, number> = {};
  readonly #done = new Map<string, number>();

  /** @param total steps of all the trainings. */
  constructor(
    total: number,
    readonly io: CommandIo,
  ) {
    if (isTerminal(io)) this.#bar = progress({ label: 'train', total, stream: io.stderr });
  }

  /**
   * Trains in a process of its own, which stops at a whole step when the command is stopped.
   * @throws Error with what the process last said, if it ends without a result.
   */
  async train(
    name: string,
    task: BranchTask,
    onLog: (entry: BranchLog) => void,
    onStep: (done: number) => void = () => {},
  ): Promise<BranchEnd> {
    const { io } = this;
    const line = progress({ label: name, total: task.experiment.iterations, stream: io.stderr });
    const child = fork(PROGRAM, [], { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] });
    let stderr = '';
    child.stderr!.on('data', (text) => {
      stderr = `${stderr}${text}`.slice(-2000);
    });
    const stop = () => child.connected && child.send('stop');
    io.signal.addEventListener('abort', stop, { once: true });
    child.send(task);
    let end: BranchEnd | undefined;
    let shown: Record<string, number> = {};
    child.on('message', (message: BranchMessage) => {
      if (message.kind === 'said') io.stderr.write(`${message.line}\n`);
      else if (message.kind === 'log') {
        shown = { loss: message.values['loss/total']! };
        this.#losses[name] = shown.loss!;
        onLog(message);
      } else if (message.kind === 'step') {
        this.#step(name, message.done);
        onStep(message.done);
        if (!this.#bar) line.update(message.done, shown);
      } else end = message;
    });
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
    io.signal.removeEventListener('abort', stop);
    delete this.#losses[name];
    if (!end)
      throw new Error(`${name}: ${stderr.trim().split('\n').at(-1) || `ended with exit code ${code}`}`);
    line.done(end.outcome);
    return end;
  }

  #step(name: string, done: number): void {
    this.#done.set(name, done);
    const total = [...this.#done.values()].reduce((sum, steps) => sum + steps, 0);
    this.#bar?.update(total, this.#losses);
  }

  /** Ends the common bar. */
  done(): void {
    this.#bar?.done();
  }
}

function isTerminal(io: CommandIo): boolean {
  return (io.stderr as { isTTY?: boolean }).isTTY === true && process.env.TERM !== 'dumb';
}
