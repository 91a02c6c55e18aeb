// The log of a run directory in other forms, made from `metrics.jsonl`, whatever wrote it.

import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { writeWholeSync } from '@pgpc/datasets';
import { openRun, type Run } from '../run-directory/open-run.js';
import type { MetricRecord } from '../run-directory/schema.js';
import { csvText } from './csv.js';
import { EventFile } from './event-file.js';
import type { LogFormat } from './formats.js';

/** Before the metrics. */
const FIXED = ['phase', 'seed', 'iteration', 'wall'];

/** Where a run's log is in a form, if nothing else is said. */
export const logPath = (run: string, format: LogFormat): string =>
  path.join(run, format === 'csv' ? 'metrics.csv' : 'tensorboard');

/** The end of the names of event files that {@link exportLog} writes, which it replaces. */
const EXPORTED = 'pgpc-log';

/**
 * A table with a row a record and a column a metric, in order of appearance. Without a value a field is empty; a value that is
 * not finite is `NaN`, as JSON has no other.
 */
export function csvOf(records: readonly MetricRecord[]): string {
  const metrics = [...new Set(records.flatMap(({ values }) => Object.keys(values)))];
  const rows = records.map(({ phase, seed, iteration, wall, values }) => [
    phase,
    seed,
    iteration,
    wall,
    ...metrics.map((metric) => (Object.hasOwn(values, metric) ? values[metric] : undefined)),
  ]);
  return csvText([[...FIXED, ...metrics], ...rows]);
}

/**
 * Writes a run's log in another form, in place of an earlier one: a CSV file, or a folder with an event file for every phase and
 * seed, which TensorBoard shows as runs. Works on a run that is still going.
 * @param out file or folder; in the run directory if left out. @returns that path
 * @throws Error if the directory holds no readable run, nothing was logged, or the folder has event files that came from
 *   elsewhere: with these, every value would be shown twice.
 */
export function exportLog(directory: string, format: LogFormat, out = logPath(directory, format)): string {
  const run = openRun(directory);
  if (run.metrics.length === 0) throw new Error(`${directory}: nothing has been logged yet`);
  if (format === 'csv') writeWholeSync(out, csvOf(run.metrics));
  else writeEvents(run, out);
  return out;
}

function writeEvents({ metrics, info }: Run, out: string): void {
  const series = new Map<string, MetricRecord[]>(metrics.map((one) => [seriesOf(one), []]));
  for (const one of metrics) series.get(seriesOf(one))!.push(one);
  const began = Date.parse(info.started) / 1000;
  for (const [name, records] of series) {
    const folder = series.size === 1 ? out : path.join(out, name);
    const foreign = existsSync(folder)
      ? readdirSync(folder).find((file) => file.includes('tfevents') && !file.endsWith(EXPORTED))
      : undefined;
    if (foreign !== undefined) {
      throw new Error(
        `${path.join(folder, foreign)}: a training has logged here itself; look at it as it is, or name another folder with --out`,
      );
    }
    const file = EventFile.create(folder, `${Math.floor(began)}.${EXPORTED}`, began);
    for (const { iteration, wall, values } of records) {
      file.write({ step: iteration, wall: began + wall }, values);
    }
  }
}

function seriesOf({ phase, seed }: MetricRecord): string {
  return seed === undefined ? phase : `${phase}-seed${seed}`;
}
