// What a run of a sweep leaves in its folder, and how it is found again.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parsedBy, parseJson, writeJson } from '@pgpc/datasets';
import { z } from 'zod';
import type { Scores } from '../evaluation/scores.js';

export const RESULT_FILE = 'result.json';
export const METRICS_FILE = 'metrics.jsonl';

/** JSON has no NaN, which the score of a class that does not occur is. */
const score = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);

const resultSchema = z.object({
  /** Hash of all that the run depends on; the end of its folder's name. */
  key: z.string(),
  name: z.string(),
  seed: z.number().int(),
  experiment: z.record(z.string(), z.unknown()),
  /**
   * The key of the run whose network this one started from, or the SHA-256 of the file, with `encoder ` before it for weights
   * of the encoder alone; absent: random weights.
   */
  start: z.string().optional(),
  /** Trained on the target with its labels. */
  onTarget: z.boolean(),
  /** What it was trained on, with the GPU's name; absent in results of earlier versions. */
  device: z.string().optional(),
  /** Of training. */
  seconds: z.number().min(0),
  /** Of the student on the target's validation images; absent where none were computed. */
  scores: z
    .object({
      miou: score,
      iou: z.array(score),
      accuracy: score,
      classAccuracy: z.array(score),
      meanAccuracy: score,
      frequencyWeightedIou: score,
    })
    .optional() satisfies z.ZodType<Scores | undefined>,
});

/** One finished run. Scores are fractions 0..1. */
export type RunResult = z.infer<typeof resultSchema>;

/** What is in `folder`. @returns undefined where no run has ended, or its file is not of this form. */
export function readResult(folder: string): RunResult | undefined {
  const file = join(folder, RESULT_FILE);
  if (!existsSync(file)) return undefined;
  try {
    return parsedBy(resultSchema, parseJson(readFileSync(file, 'utf8'))).data;
  } catch {
    return undefined;
  }
}

/** Writes a run's result into its folder; the last that is written of it, so that a folder with a result is complete. */
export function writeResult(folder: string, result: RunResult): void {
  writeJson(join(folder, RESULT_FILE), result);
}

/** Where the runs of a seed are. */
export function seedFolder(out: string, seed: number): string {
  return join(out, `seed${seed}`);
}

/** The folder of the run with this key, whatever its readable part is; undefined where there is none. */
export function folderOf(out: string, seed: number, key: string): string | undefined {
  const root = seedFolder(out, seed);
  const name = foldersIn(root).find((folder) => folder.endsWith(`-${key}`));
  return name === undefined ? undefined : join(root, name);
}

/** Folders whose readable part is `name`. */
export function foldersNamed(out: string, seed: number, name: string): string[] {
  const root = seedFolder(out, seed);
  return foldersIn(root)
    .filter((folder) => folder.slice(0, folder.lastIndexOf('-')) === name)
    .map((folder) => join(root, folder));
}

function foldersIn(root: string): string[] {
  return existsSync(root) ? readdirSync(root).sort() : [];
}
