// A run directory made fit to be written again: what is only there to be shown never keeps a training from resuming.

import { existsSync, readFileSync, renameSync } from 'node:fs';
import path from 'node:path';
import { writeWholeSync } from '@pgpc/datasets';
import { removeLeftovers } from './leftovers.js';
import { lengthOfWholeLines, METRICS_FILE, parseMetricLine } from './metrics.js';
import { readPictureIndex, readResults } from './open-run.js';
import type { RunClass } from './schema.js';

/**
 * Takes a run back to its checkpoint: metrics after it are cut off, leftovers of killed writes removed, and damaged files
 * that only reports read set aside as `*.damaged`.
 * @param metricsLines of the metrics at the checkpoint; undefined: not known, and what follows it is superseded.
 * @returns what was found, a line each, and how many lines of metrics there are now.
 */
export function repair(
  directory: string,
  classes: readonly RunClass[],
  metricsLines: number | undefined,
): { said: string[]; metricsLines: number } {
  removeLeftovers(directory);
  const metrics = repairMetrics(path.join(directory, METRICS_FILE), metricsLines);
  const said = [
    ...metrics.said,
    ...setAside(path.join(directory, 'results.json'), () => readResults(directory, classes)),
    ...setAside(path.join(directory, 'pictures', 'index.json'), () => readPictureIndex(directory)),
  ];
  return { said, metricsLines: metrics.lines };
}

function repairMetrics(file: string, expected = Number.POSITIVE_INFINITY): { said: string[]; lines: number } {
  const bytes = existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
  const lines = bytes
    .toString('utf8', 0, lengthOfWholeLines(bytes))
    .split('\n')
    .slice(0, -1)
    .slice(0, expected);
  const good = lines.filter((line, i) => isGood(line, `${file}:${i + 1}`));
  const text = good.map((line) => `${line}\n`).join('');
  if (Buffer.byteLength(text) !== bytes.length) writeWholeSync(file, text);
  const lost = lines.length - good.length;
  const said = [
    ...(lost > 0 ? [`${file}: ${lost} of ${lines.length} lines were damaged, and are left out`] : []),
    ...(lines.length < expected && expected !== Number.POSITIVE_INFINITY
      ? [`${file}: ${expected - lines.length} of its lines up to the checkpoint are gone`]
      : []),
  ];
  return { said, lines: good.length };
}

function isGood(line: string, where: string): boolean {
  try {
    parseMetricLine(line, where);
    return true;
  } catch {
    return false;
  }
}

function setAside(file: string, read: () => unknown): string[] {
  try {
    read();
    return [];
  } catch (error) {
    renameSync(file, `${file}.damaged`);
    return [`${(error as Error).message}; it is kept as ${file}.damaged, and written anew`];
  }
}
