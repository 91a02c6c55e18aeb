// Reads a run directory.

import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { lengthOfWholeLines, METRICS_FILE, MergedMetrics, parseJson, parseMetricLine } from './metrics.js';
import {
  checked,
  type MethodResult,
  type MetricRecord,
  methodResultSchema,
  type PictureIndex,
  pictureIndexSchema,
  type RunClass,
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
  return { ...openRunFiles(directory), metrics: readMetrics(path.join(directory, METRICS_FILE)) };
}

/** As {@link openRun}, without the metrics: what is small. */
export function openRunFiles(directory: string): Omit<Run, 'metrics'> {
  const info = readRunInfo(directory);
  const results = readResults(directory, info.classes);
  return { directory, info, results, pictures: readPictureIndex(directory) };
}

/** What a run says of itself: `run.json`. @throws Error as {@link openRun} does. */
export function readRunInfo(directory: string): RunInfo {
  const file = path.join(directory, 'run.json');
  if (!existsSync(file)) throw new Error(`${directory} is no run directory: it has no run.json`);
  return checked(runInfoSchema, readJson(file), file);
}

/** `results.json`; none where it is missing. @throws Error as {@link openRun} does. */
export function readResults(directory: string, classes: readonly RunClass[]): MethodResult[] {
  const file = path.join(directory, 'results.json');
  const results = existsSync(file) ? checked(z.array(methodResultSchema), readJson(file), file) : [];
  for (const { name, iou } of results) {
    if (iou.length !== classes.length) {
      throw new Error(`${file}: '${name}' has ${iou.length} IoU values for ${classes.length} classes`);
    }
  }
  return results;
}

/** `pictures/index.json`; undefined where it is missing. @throws Error as {@link openRun} does. */
export function readPictureIndex(directory: string): PictureIndex | undefined {
  const file = path.join(directory, 'pictures', 'index.json');
  return existsSync(file) ? checked(pictureIndexSchema, readJson(file), file) : undefined;
}

function readMetrics(file: string): MetricRecord[] {
  if (!existsSync(file)) return [];
  const bytes = readFileSync(file);
  const merged = new MergedMetrics();
  const lines = bytes.subarray(0, lengthOfWholeLines(bytes)).toString('utf8').split('\n');
  for (const [index, line] of lines.entries()) {
    if (line !== '') merged.add(parseMetricLine(line, `${file}:${index + 1}`));
  }
  return merged.series.flatMap(({ records }) => records);
}

function readJson(file: string): unknown {
  return parseJson(readFileSync(file, 'utf8'), file);
}
