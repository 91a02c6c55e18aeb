// Reads a run directory.

import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { lengthOfWholeLines, MergedMetrics, parseJson, parseMetricLine } from './metrics.js';
import {
  checked,
  type MethodResult,
  type MetricRecord,
  methodResultSchema,
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
  return { ...openRunFiles(directory), metrics: readMetrics(path.join(directory, 'metrics.jsonl')) };
}

/** As {@link openRun}, without the metrics: what is small. */
export function openRunFiles(directory: string): Omit<Run, 'metrics'> {
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
  return { directory, info, results, pictures };
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
