// Trainings side by side, each in a process of its own: which may start, how they are watched and how they are stopped.

import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { compiledProgram } from '@pgpc/datasets';
import type { RunEnd, RunEvent, RunTask } from './run-program.js';

const PROGRAM = compiledProgram(import.meta.url, './run-program.js');

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
 *   thrown once the running ones have ended.
 * @throws the signal's reason when it is aborted, once the running ones have ended.
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

/** What several trainings tell: how many steps there are in all, what each does, and that none is left. */
export type ParallelEvent =
  | { kind: 'runs'; steps: number }
  | { kind: 'run'; name: string; iterations: number; event: RunEvent }
  | { kind: 'run-end'; name: string; outcome: RunEnd['outcome'] }
  | { kind: 'runs-end' };

/** Trainings at once, unless it is said: as many as cores; on a GPU up to four, as each takes several cores, and memory. */
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

/**
 * Trains in a process of its own, which stops at a whole step once the signal is aborted.
 * @param onEvent told of what the process does, but for its end.
 * @throws Error with what the process last said, if it ends without a result.
 */
export async function trainInProcess(
  task: RunTask,
  { signal, onEvent }: { signal: AbortSignal; onEvent: (event: RunEvent) => void },
): Promise<RunEnd> {
  const child = fork(PROGRAM, [], { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] });
  let stderr = '';
  child.stderr!.on('data', (text) => {
    stderr = `${stderr}${text}`.slice(-2000);
  });
  const stop = () => child.connected && child.send('stop');
  signal.addEventListener('abort', stop, { once: true });
  child.send(task);
  let end: RunEnd | undefined;
  child.on('message', (message: RunEvent | RunEnd) => {
    if (message.kind === 'end') end = message;
    else onEvent(message);
  });
  const how = await new Promise<string>((resolve) =>
    child.on('close', (code, killed) => resolve(killed ?? `exit code ${code}`)),
  );
  signal.removeEventListener('abort', stop);
  if (end) return end;
  throw new Error(`${task.name}: ${stderr.trim().split('\n').at(-1) || `ended with ${how}`}`);
}
