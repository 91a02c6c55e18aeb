// Reads a run directory.

import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import {
  checked,
  type MethodResult,
  type MetricRecord,
  methodResultSchema,
  metricRecordSchema,
  type PictureIndex,
  pictureIndexSchema,
  type RunInfo,
  runInfoSchema,
} from './schema.js';

/** All that a run directory holds besides checkpoints and the pictures themselves. */
export interface Run {
  readonly directory: string;
  readonly info: RunInfo;
  /** Grouped by phase and seed in order of appearance, iterations rising within a group. */
  readonly metrics: readonly MetricRecord[];
  readonly results: readonly MethodResult[];
  /** Undefined where the run has written no pictures. */
  readonly pictures: PictureIndex | undefined;
}

/**
 * Reads a run directory, also one that is being written or whose process was killed: a last line of metrics that is
 * cut off is left out, missing files count as empty.
 *
 * @throws Error naming file and entry if the folder is no run directory or a file does not have its form.
 */
export function openRun(directory: string): Run {
  const infoFile = path.join(directory, 'run.json');
  if (!existsSync(infoFile)) throw new Error(`${directory} is no run directory: it has no run.json`);
  const info = checked(runInfoSchema, readJson(infoFile), infoFile);
  const resultsFile = path.join(directory, 'results.json');
  const results = existsSync(resultsFile)
    ? checked(z.array(methodResultSchema), readJson(resultsFile), resultsFile)
    : [];
  for (const { name, iou } of results) {
    if (iou.length !== info.classes.length) {
      throw new Error(
        `${resultsFile}: '${name}' has ${iou.length} IoU values for ${info.classes.length} classes`,
      );
    }
  }
  const picturesFile = path.join(directory, 'pictures', 'index.json');
  const pictures = existsSync(picturesFile)
    ? checked(pictureIndexSchema, readJson(picturesFile), picturesFile)
    : undefined;
  return { directory, info, metrics: readMetrics(path.join(directory, 'metrics.jsonl')), results, pictures };
}

function readMetrics(file: string): MetricRecord[] {
  if (!existsSync(file)) return [];
  const bytes = readFileSync(file);
  const series = new Map<string, MetricRecord[]>();
  const lines = bytes.subarray(0, lengthOfWholeLines(bytes)).toString('utf8').split('\n');
  for (const [index, line] of lines.entries()) {
    if (line === '') continue;
    const where = `${file}:${index + 1}`;
    const { phase, seed, iteration, wall, ...values } = checked(
      metricRecordSchema,
      parseJson(line, where),
      where,
    );
    const key = JSON.stringify([phase, seed]);
    let records = series.get(key);
    if (records === undefined) {
      records = [];
      series.set(key, records);
    }
    // A run that was resumed from an earlier checkpoint repeats iterations: the later account counts.
    while ((records.at(-1)?.iteration ?? -1) > iteration) records.pop();
    const before = records.at(-1)?.iteration === iteration ? records.pop()?.values : undefined;
    records.push({
      phase,
      ...(seed === undefined ? {} : { seed }),
      iteration,
      wall,
      values: { ...before, ...values },
    });
  }
  return [...series.values()].flat();
}

/** A line without its newline was being written when the process died. */
export function lengthOfWholeLines(bytes: Uint8Array): number {
  return bytes.lastIndexOf(0x0a) + 1;
}

function readJson(file: string): unknown {
  return parseJson(readFileSync(file, 'utf8'), file);
}

function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${where} is not JSON: ${(error as Error).message}`);
  }
}
