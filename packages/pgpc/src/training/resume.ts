// What a run is resumed to: its configuration, its data as it is now, and what is not as it was.

import { existsSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { loadSafetensors, tidy } from '@pgpc/torch';
import { parseTraining, type TrainingConfig } from '../config/training.js';
import { UsageError } from '../config/usage-error.js';
import type { OpenedData } from './data.js';
import { type DataRecord, dataChanges, readRecord, recordData } from './data-record.js';
import { lengthened } from './length.js';
import { loadPlugins } from './plugins.js';
import { openRun } from './run-directory/open-run.js';
import { CHECKPOINT_FILE } from './trainer.js';

/** What may be changed of a run that is resumed. */
export interface ResumeChanges {
  /** Number of all steps; left out: the run's. */
  iterations?: number | undefined;
  /** Where the same data is now. */
  sourceRoot?: string | undefined;
  targetRoot?: string | undefined;
  /** Train on data that is not that which the run began with. */
  allowChangedData?: boolean | undefined;
}

/** A run as it is resumed, before its data is read. */
export interface ResumePlan {
  directory: string;
  config: TrainingConfig;
  /** Folder of the checkpoint. */
  checkpoint: string;
  /** What is not as it was, in words. */
  changes: string[];
  /** What is not in run.json, but to be said. */
  remarks: string[];
}

/**
 * Reads what is there of a run.
 * @throws UsageError for a number of steps that are done already; Error if there is no run, no checkpoint, or no data where
 *   the run has it.
 */
export async function planResume(directory: string, given: ResumeChanges): Promise<ResumePlan> {
  const { config: saved } = openRun(directory).info;
  await loadPlugins((saved as Partial<TrainingConfig>).plugins);
  const before = parseTraining(saved);
  const checkpoint = join(directory, 'checkpoints', before.phase);
  if (!existsSync(join(checkpoint, CHECKPOINT_FILE))) {
    throw new Error(`${directory} has no checkpoint yet, so there is nothing to resume; start it anew`);
  }
  const changes: string[] = [];
  const data = {
    ...before.data,
    source: placedAt('source', before.data.source, given.sourceRoot, changes),
    target: placedAt('target', before.data.target, given.targetRoot, changes),
  };
  const { iterations } = before.experiment;
  const done = stepsDone(checkpoint);
  const length = given.iterations ?? iterations;
  const remarks: string[] = [];
  if (length === iterations && done === iterations) {
    remarks.push(`all ${iterations} steps are done; --iterations N trains up to step N`);
  }
  const other = length !== iterations;
  const experiment = other ? lengthened(before.experiment, length, done) : before.experiment;
  if (other) {
    changes.push(
      `${length} steps instead of ${iterations}, from step ${done} on; the learning rate follows its schedule over ${length} steps from there`,
    );
  }
  return { directory, config: { ...before, data, experiment }, checkpoint, changes, remarks };
}

/** @throws Error if the data is not there, with where it was looked for. */
function placedAt<T extends { root: string }>(
  role: 'source' | 'target',
  domain: T,
  given: string | undefined,
  changes: string[],
): T {
  const { root } = domain;
  if (given !== undefined) {
    if (resolve(given) !== root) changes.push(`the ${role} is in ${resolve(given)} instead of ${root}`);
    return { ...domain, root: resolve(given) };
  }
  if (existsSync(root)) return { ...domain, root: resolve(root) };
  const where = isAbsolute(root)
    ? ''
    : `; the run has its relative path, which is looked for from the working directory, ${process.cwd()}: resume from the folder in which training was started, or`;
  throw new UsageError(
    `the run's ${role} ${root} is not there${where || ':'} say where it is now with --${role}-root <folder>`,
  );
}

function stepsDone(checkpoint: string): number {
  return tidy(() => {
    const { state } = loadSafetensors(join(checkpoint, CHECKPOINT_FILE)).metadata;
    return (JSON.parse(state ?? '{}') as { iteration?: number }).iteration ?? 0;
  });
}

/** What a run was resumed with, for its run.json and to be said. */
export interface SettledChanges {
  record: DataRecord;
  changes: string[];
  remarks: string[];
}

/**
 * Compares the data with that which the run began with.
 * @throws Error with the difference, where it is not allowed.
 */
export async function settleChanges(
  { directory, changes, remarks: before }: ResumePlan,
  data: OpenedData,
  { allowChangedData = false }: ResumeChanges,
): Promise<SettledChanges> {
  const record = await recordData(data);
  const recorded = readRecord(directory);
  const remarks = [...before, ...changes];
  if (!recorded) {
    remarks.push(
      'this run was started by a version that kept no record of its data: whether it is the same is not known',
    );
    return { record, changes, remarks };
  }
  const { training, evaluation } = dataChanges(recorded, record, data);
  if (training.length > 0 && !allowChangedData) {
    throw new Error(
      `${directory} was trained on other data: ${training.join('; ')}. Start a new run, or train on what is there now with --allow-changed-data`,
    );
  }
  const words = [
    ...training.map((what) => `other data: ${what}`),
    ...evaluation.map((what) => `other data in the evaluation: ${what}`),
  ];
  return { record, changes: [...changes, ...words], remarks: [...remarks, ...words] };
}
