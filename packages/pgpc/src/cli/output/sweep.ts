// What `pgpc ablate` shows of a sweep.

import { join } from 'node:path';
import type { SweepEvent, SweepResult } from '../../ablation/run.js';
import { count } from '../command.js';
import type { CommandIo } from '../io.js';
import { openTeller } from './open-data.js';
import { ParallelProgress } from './parallel-progress.js';
import { textTable } from './table.js';

/**
 * Shows a sweep while it is under way, and its table.
 * @param minutes its limit. @throws what the sweep throws; Error if a run has failed.
 */
export async function showSweep(
  minutes: number | undefined,
  io: CommandIo,
  sweep: (onEvent: (event: SweepEvent) => void) => Promise<SweepResult>,
): Promise<void> {
  const { stdout, stderr, signal, command } = io;
  const trainings = new ParallelProgress(io);
  const showOpening = openTeller(io);
  const tell = (event: SweepEvent) => {
    if (event.kind === 'plan') {
      const { title, runs, finished } = event;
      stdout.write(`${title}: ${count(runs, 'run')}, ${finished} of them finished before\n`);
    } else if (event.kind === 'remark') stderr.write(`${event.message}\n`);
    else if (event.kind === 'data' || event.kind === 'bad-files') showOpening(event);
    else trainings.tell(event);
  };
  let result: SweepResult;
  try {
    result = await sweep(tell);
  } finally {
    if (signal.aborted) stdout.write(`finished runs are kept; resume with: ${command}\n`);
  }
  const { header, rows, folder, runs, left, failures } = result;
  if (rows.length > 0) stdout.write(`\n${textTable(header, rows)}`);
  stdout.write(`\ntable: ${join(folder, 'table.md')}\npage: ${join(folder, 'index.html')}\n`);
  if (minutes !== undefined && left > failures.length) {
    stdout.write(`${count(left, 'run')} left after --minutes ${minutes}; resume with: ${command}\n`);
  }
  if (failures.length > 0) {
    throw new Error(`${failures.length} of ${count(runs, 'run')} failed, the first: ${failures[0]}`);
  }
}
