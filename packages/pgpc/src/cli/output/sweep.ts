// What `pgpc ablate` and `pgpc sweep` show of a sweep, and what they give as JSON.

import { join } from 'node:path';
import type { SweepEvent, SweepResult } from '../../ablation/run.js';
import { type SweepTable, textCells } from '../../ablation/table.js';
import { count } from '../command.js';
import type { CommandIo } from '../io.js';
import type { Tell } from './json.js';
import { openTeller } from './open-data.js';
import { ParallelProgress } from './parallel-progress.js';
import { textTable } from './table.js';

/**
 * Shows a sweep while it is under way, and its table.
 * @param minutes its limit. @param tell is told the same for JSON. @throws what the sweep throws; Error if a run has failed.
 */
export async function showSweep(
  minutes: number | undefined,
  io: CommandIo,
  tell: Tell,
  sweep: (onEvent: (event: SweepEvent) => void) => Promise<SweepResult>,
): Promise<void> {
  const { stdout, stderr, signal, command } = io;
  const trainings = new ParallelProgress(io);
  const showOpening = openTeller(io);
  let written: { table: SweepTable; folder: string } | undefined;
  const show = (event: SweepEvent) => {
    if (event.kind === 'plan') {
      const { title, runs, finished } = event;
      stdout.write(`${title}: ${count(runs, 'run')}, ${finished} of them finished before\n`);
    } else if (event.kind === 'table') {
      written = event;
      tell(factsOf(event));
    } else if (event.kind === 'remark') stderr.write(`${event.message}\n`);
    else if (event.kind === 'data' || event.kind === 'bad-files') showOpening(event);
    else trainings.tell(event);
  };
  let result: SweepResult;
  try {
    result = await sweep(show);
  } finally {
    if (signal.aborted) {
      tell({ resume: command });
      stdout.write(`finished runs are kept; resume with: ${command}\n`);
    }
  }
  const { runs, left, failures } = result;
  tell({ runs, left, failures, ...(left > 0 && { resume: command }) });
  const { table, folder } = written!;
  const { header, rows } = textCells(table);
  if (rows.length > 0) stdout.write(`\n${textTable(header, rows)}`);
  stdout.write(`\ntable: ${join(folder, 'table.md')}\npage: ${join(folder, 'index.html')}\n`);
  if (minutes !== undefined && left > failures.length) {
    stdout.write(`${count(left, 'run')} left after --minutes ${minutes}; resume with: ${command}\n`);
  }
  if (failures.length > 0) {
    throw new Error(`${failures.length} of ${count(runs, 'run')} failed, the first: ${failures[0]}`);
  }
}

/** The table, as `--json` has it: fractions 0..1, of each cell's seeds and over them. */
function factsOf({ table, folder }: { table: SweepTable; folder: string }): object {
  const { sweep, classes, minority, rows, setting } = table;
  return {
    sweep: sweep.name,
    title: sweep.title,
    setting,
    folder,
    table: join(folder, 'table.md'),
    page: join(folder, 'index.html'),
    classes,
    minority: minority.map((trainId) => classes[trainId]),
    reference: sweep.reference,
    reference2: sweep.reference2,
    rows: rows.map(({ cell, ...scores }) => ({ cell: cell.name, label: cell.label, ...scores })),
  };
}
