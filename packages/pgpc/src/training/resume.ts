// What a run is resumed to: its configuration, its data as it is now, and what is not as it was.

import { existsSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { indexWeights } from '@pgpc/torch';
import type { Experiment } from '../config/experiment.js';
import { parseTraining, type TrainingConfig } from '../config/training.js';
import { UsageError } from '../config/usage-error.js';
import { versions } from '../machine.js';
import { type FoundCheckpoint, findCheckpoint, wholeCheckpoints } from './checkpoint-files.js';
import { savedBeside, savedState } from './checkpoint-texts.js';
import type { OpenedData } from './data.js';
import { type DataRecord, dataChanges, readRecord, recordData } from './data-record.js';
import { lengthened } from './length.js';
import { loadPlugins } from './plugins.js';
import { readRunInfo } from './run-directory/open-run.js';
import { describeMachine } from './run-directory/origin.js';
import type { RunInfo } from './run-directory/schema.js';
import type { SelectionState } from './selection.js';
import { surroundingChanges } from './surroundings.js';

/** What may be changed of a run that is resumed. */
export interface ResumeChanges {
  /** Number of all steps; left out: the run's. */
  iterations?: number | undefined;
  /** Where the same data is now. */
  sourceRoot?: string | undefined;
  targetRoot?: string | undefined;
  /** Train although what the numbers depend on is not as it was: data, libraries, threads, processor. */
  allowChanged?: boolean | undefined;
  /** Peak learning rate of the encoder from here on. */
  lr?: number | undefined;
  /** What the networks compute in from here on. */
  precision?: Experiment['precision'];
  /** How many steps may be skipped in the whole run because a loss or gradient is not finite. */
  skipNotFinite?: number | undefined;
  /** Resume from the checkpoint of this step, instead of the newest: the newest and the one before it are kept. */
  from?: number | undefined;
}

/** What a run keeps beside a training's state. */
export type BesideState = {
  selection: SelectionState;
  /** Lines of the metrics. */
  metricsLines: number;
};

/** A run as it is resumed, before its data is read. */
export interface ResumePlan {
  directory: string;
  config: TrainingConfig;
  /** Folder of the checkpoints, and the file that is resumed from. */
  checkpoint: string;
  file: string;
  info: RunInfo;
  /** Lines of the metrics when it was written; undefined: a release that kept no record of them wrote it. */
  metricsLines: number | undefined;
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
  const info = readRunInfo(directory);
  const { config: saved } = info;
  await loadPlugins((saved as Partial<TrainingConfig>).plugins);
  const before = parseTraining(saved);
  const checkpoint = join(directory, 'checkpoints', before.phase);
  const found = given.from === undefined ? findCheckpoint(checkpoint) : checkpointOf(checkpoint, given.from);
  if (!found) {
    throw new Error(`${directory} has no checkpoint yet, so there is nothing to resume; start it anew`);
  }
  const changes: string[] = [];
  const data = {
    ...before.data,
    source: placedAt('source', before.data.source, given.sourceRoot, changes),
    target: placedAt('target', before.data.target, given.targetRoot, changes),
  };
  const { iterations } = before.experiment;
  const { done, metricsLines } = stateOf(found.file);
  const length = given.iterations ?? iterations;
  const remarks: string[] = found.instead === undefined ? [] : [found.instead];
  if (length === iterations && done === iterations) {
    remarks.push(`all ${iterations} steps are done; --iterations N trains up to step N`);
  }
  const other = length !== iterations;
  const tuned = retuned(before.experiment, given, done, changes);
  const experiment = other ? lengthened(tuned, length, done) : tuned;
  if (other) {
    changes.push(
      `${length} steps instead of ${iterations}, from step ${done} on; the learning rate follows its schedule over ${length} steps from there`,
    );
  }
  const { file } = found;
  return {
    directory,
    info,
    config: { ...before, data, experiment },
    checkpoint,
    file,
    metricsLines,
    changes,
    remarks,
  };
}

/** The state of a step. @throws UsageError if none that is whole is of this step, with the whole ones. */
function checkpointOf(checkpoint: string, step: number): FoundCheckpoint {
  const whole = wholeCheckpoints(checkpoint).map((file) => ({ file, ...stateOf(file) }));
  const found = whole.find(({ done }) => done === step);
  if (found) return { file: found.file, instead: undefined };
  const steps = whole.map(({ done }) => done).join(' and ') || 'none';
  throw new UsageError(`--from ${step}: there is no checkpoint of this step; whole are: ${steps}`);
}

/** The experiment with what is changed of how it computes. What is changed is added to `changes`. */
function retuned(
  experiment: Experiment,
  { lr, precision, skipNotFinite }: ResumeChanges,
  done: number,
  changes: string[],
): Experiment {
  const changed: Partial<Experiment> = {};
  const say = (what: string) => changes.push(`${what}, from step ${done} on`);
  const { optimizer, precision: before = 'float32', skipNotFinite: skips = 0 } = experiment;
  if (lr !== undefined && lr !== optimizer.lr) {
    changed.optimizer = { ...optimizer, lr };
    say(`a learning rate of ${lr} instead of ${optimizer.lr}`);
  }
  if (precision !== undefined && precision !== before) {
    changed.precision = precision;
    say(`${precision} instead of ${before}`);
  }
  if (skipNotFinite !== undefined && skipNotFinite !== skips) {
    changed.skipNotFinite = skipNotFinite;
    say(`up to ${skipNotFinite} steps that are not finite are skipped instead of ${skips}`);
  }
  return { ...experiment, ...changed };
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

function stateOf(file: string): { done: number; metricsLines: number | undefined } {
  const { metadata } = indexWeights(file);
  return {
    done: savedState(file, metadata).iteration,
    metricsLines: savedBeside(file, metadata).metricsLines,
  };
}

/** What a run was resumed with, for its run.json and to be said. */
export interface SettledChanges {
  record: DataRecord;
  changes: string[];
  remarks: string[];
}

/**
 * Compares the data with that which the run began with, and what else its numbers depend on.
 * @param device this process's, as run.json has it. @throws Error with the difference, where it is not allowed.
 */
export async function settleChanges(
  { directory, info, changes: planned, remarks: before }: ResumePlan,
  data: OpenedData,
  device: string,
  { allowChanged = false }: ResumeChanges,
): Promise<SettledChanges> {
  const record = await recordData(data);
  const recorded = readRecord(directory);
  const other = surroundingChanges(info, { versions: versions(), device, machine: describeMachine() });
  if (other.length > 0 && !allowChanged) {
    throw new Error(
      `${directory} would not resume exactly: ${other.join('; ')}. Resume it where it was trained, or as it is with --allow-changed`,
    );
  }
  const changes = [...planned, ...other];
  const remarks = [...before, ...changes];
  if (!recorded) {
    remarks.push(
      'this run was started by a version that kept no record of its data: whether it is the same is not known',
    );
    return { record, changes, remarks };
  }
  const { training, evaluation } = dataChanges(recorded, record, data);
  if (training.length > 0 && !allowChanged) {
    throw new Error(
      `${directory} was trained on other data: ${training.join('; ')}. Start a new run, or train on what is there now with --allow-changed`,
    );
  }
  const words = [
    ...training.map((what) => `other data: ${what}`),
    ...evaluation.map((what) => `other data in the evaluation: ${what}`),
  ];
  return { record, changes: [...changes, ...words], remarks: [...remarks, ...words] };
}
