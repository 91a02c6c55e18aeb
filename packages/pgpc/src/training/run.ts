// A training in a run directory: started, stopped, resumed, evaluated. Tells of it in events and writes to no terminal.

import { availableParallelism } from 'node:os';
import { basename, resolve } from 'node:path';
import { cudaAvailable, type ProcessGroup } from '@pgpc/torch';
import { methodLabel } from '../config/method.js';
import { smallestSide } from '../config/segmentor.js';
import { parseTraining, type TrainingConfig } from '../config/training.js';
import { describeDevice, enterProcess, type ProcessOptions, versions } from '../machine.js';
import { locateModel } from '../models/locate.js';
import { setAside } from './checkpoint-files.js';
import type { TrainingChoice } from './choice.js';
import type { OpenedData } from './data.js';
import { recordData, writeRecord } from './data-record.js';
import { withDiskAdvice } from './disk.js';
import { inTurn, joinGroup, ranksHere } from './distributed.js';
import type { TrainingEvent, TrainingResult } from './events.js';
import type { LogFormat } from './logs/formats.js';
import { availableMemory, checkFits, measureStepMemory } from './memory.js';
import { openTelling } from './open-data.js';
import { loadPlugins } from './plugins.js';
import { isFollower } from './rank.js';
import { resolveTraining } from './resolve.js';
import { planResume, type ResumeChanges, settleChanges } from './resume.js';
import { claimRun, type RunClaim } from './run-directory/claim.js';
import { gitRevision } from './run-directory/origin.js';
import { own } from './run-directory/owner.js';
import { RunDirectory } from './run-directory/run-directory.js';
import { startFromWeights } from './start.js';
import { trainInRun } from './train-in-run.js';

/** The signal stops the training at a whole step, with a checkpoint. */
export interface TrainingProcessOptions extends ProcessOptions {
  /** Other forms of the log, in the run directory: none by default. */
  log?: readonly LogFormat[] | undefined;
  onEvent?: ((event: TrainingEvent) => void) | undefined;
}

export interface RunTrainingOptions extends TrainingProcessOptions {
  /** A folder that was claimed for the run; then `out`, `name` and `overwrite` say nothing. */
  claim?: RunClaim | undefined;
  /** Folder for run directories: 'runs' by default. */
  out?: string | undefined;
  /** Of the run; left out: the phase's, with a number where it is taken. */
  name?: string | undefined;
  /** Replace the run that has the name. */
  overwrite?: boolean | undefined;
  /** Heading of the report. */
  title?: string | undefined;
  /** The command line that repeats the run. */
  command?: string | undefined;
  /** What to start the encoder from, in place of the configuration's: as the choice's `weights`. */
  weights?: string | undefined;
  /** Load what fits of `weights` where the file and the encoder differ, instead of refusing it. */
  allowPartial?: boolean | undefined;
  /** Measure a step's memory and time, in a process of its own, before the run: true by default. */
  memoryCheck?: boolean | undefined;
}

/** What may be changed of a run that is resumed. */
export interface ResumeTrainingOptions extends TrainingProcessOptions, ResumeChanges {}

/** What the processes of a training share, and what this one is of them. */
interface Place {
  device: string;
  group: ProcessGroup | undefined;
  signal: AbortSignal;
  emit: (event: TrainingEvent) => void;
  log: readonly LogFormat[];
}

/**
 * Trains in a new run directory, which is claimed before anything else. In a process that the environment makes a rank of
 * several (RANK, WORLD_SIZE, ...; see `joinGroup`) all of them train one network, and rank 0 writes and tells.
 * @returns with the outcome 'stopped' where the signal came while steps were done.
 * @throws BadFilesError, DatasetError for the data; Error for a configuration or name that is not valid, for too little
 *   memory, for losses that are not finite; the signal's reason where it came before the first step or after the last.
 */
export function runTraining(
  config: TrainingConfig,
  options: RunTrainingOptions = {},
): Promise<TrainingResult> {
  return trainNew(config.phase, async () => config, options);
}

/** As {@link runTraining}, from a choice, which is resolved once the run directory is claimed. @throws as `resolveTraining` does. */
export function runChoice(choice: TrainingChoice, options: RunTrainingOptions = {}): Promise<TrainingResult> {
  return trainNew(choice.method ?? 'pgpc', () => resolveTraining(choice), options);
}

async function trainNew(
  phase: string,
  configured: () => Promise<TrainingConfig>,
  options: RunTrainingOptions,
): Promise<TrainingResult> {
  const { out = 'runs', name, overwrite, onEvent, signal } = options;
  signal?.throwIfAborted();
  const claim = isFollower()
    ? undefined
    : (options.claim ?? claimRun(out, name ?? phase, { overwrite, unique: name === undefined }));
  try {
    if (claim) onEvent?.({ kind: 'run', directory: claim.path });
    return await inPlace(options, async (place) => trainClaimed(claim, await configured(), place, options));
  } catch (error) {
    throw claim ? withDiskAdvice(error, claim.path) : error;
  } finally {
    claim?.release();
  }
}

async function trainClaimed(
  claim: RunClaim | undefined,
  configuration: TrainingConfig,
  place: Place,
  { weights, allowPartial, memoryCheck = true, title, command }: RunTrainingOptions,
): Promise<TrainingResult> {
  await loadPlugins(configuration.plugins);
  const { start: given, ...rest } = configuration;
  const start =
    weights === undefined
      ? located(given)
      : startFromWeights(weights, rest.experiment.segmentor.backbone, allowPartial);
  const config = parseTraining(withAbsoluteRoots({ ...rest, ...(start && { start }) }));
  const { device, group, emit, signal } = place;
  const { data, run } = await inTurn(group, async () => {
    const data = await openAndTell(config, place);
    if (claim === undefined) return { data, run: undefined };
    const { experiment, phase, data: from } = config;
    emit({
      kind: 'description',
      config,
      data,
      device,
      processes: group?.size ?? 1,
      weights: start?.weights !== undefined,
    });
    if (memoryCheck) await checkMemory(config, place);
    const record = await recordData(data, signal);
    const run = RunDirectory.begin(claim, {
      config,
      classes: data.classes,
      seed: experiment.seed,
      versions: versions(),
      device: describeDevice(device),
      gitRevision: gitRevision(),
      title:
        title ??
        `${methodLabel(phase, experiment.method)} from ${basename(from.source.root)} to ${basename(from.target.root)}`,
      command,
    });
    writeRecord(run.path, record);
    return { data, run };
  });
  return trainInRun(run, config, data, placed(place), start ?? {});
}

/**
 * Resumes a run from its last checkpoint: what follows is what would have followed there, as far as its data is the same
 * and its length is.
 * @throws Error if the directory holds no training or no checkpoint, or the data is not that which the run began with;
 *   else as `runTraining` does.
 */
export function resumeTraining(
  directory: string,
  options: ResumeTrainingOptions = {},
): Promise<TrainingResult> {
  return inPlace(options, async (place) => {
    const ownership = isFollower() ? undefined : own(directory);
    try {
      return await resumeOwned(directory, place, options);
    } finally {
      ownership?.release();
    }
  });
}

async function resumeOwned(
  directory: string,
  place: Place,
  options: ResumeTrainingOptions,
): Promise<TrainingResult> {
  const plan = await planResume(directory, options);
  const { config, checkpoint, file, metricsLines } = plan;
  if (!isFollower()) place.emit({ kind: 'run', directory });
  const data = await inTurn(place.group, () => openAndTell(config, place));
  const update = await settleChanges(plan, data, describeDevice(place.device), options);
  for (const message of update.remarks) place.emit({ kind: 'remark', message });
  if (isFollower()) return trainInRun(undefined, config, data, placed(place), { checkpoint: file });
  setAside(checkpoint, file);
  const run = RunDirectory.resume(directory, describeDevice(place.device), {
    config,
    changes: update.changes,
    versions: versions(),
    metricsLines,
  });
  for (const message of run.said) place.emit({ kind: 'remark', message });
  writeRecord(directory, update.record);
  return trainInRun(run, config, data, placed(place), { checkpoint: file });
}

async function inPlace<T>(
  { signal = new AbortController().signal, onEvent, log = [], ...options }: TrainingProcessOptions,
  use: (place: Place) => Promise<T>,
): Promise<T> {
  const device = enterProcess(options);
  using group = joinGroup(process.env, device === 'cpu' ? 'cpu' : 'cuda');
  return await use({ device, group, signal, log, emit: isFollower() || !onEvent ? () => {} : onEvent });
}

/** A run directory that is named to start from stands for its last checkpoint now. */
function located(start: TrainingConfig['start']): TrainingConfig['start'] {
  return start?.init === undefined ? start : { init: resolve(locateModel(start.init)) };
}

/** A run may be resumed from another folder. */
function withAbsoluteRoots(config: TrainingConfig): TrainingConfig {
  const { source, target } = config.data;
  const absolute = <T extends { root: string }>(domain: T): T => ({ ...domain, root: resolve(domain.root) });
  return { ...config, data: { ...config.data, source: absolute(source), target: absolute(target) } };
}

async function openAndTell(
  { data, reading, experiment }: TrainingConfig,
  { signal, emit }: Place,
): Promise<OpenedData> {
  const { skipBad, workers } = reading;
  emit({ kind: 'stage', stage: 'open the data' });
  const smallest = smallestSide(experiment.segmentor);
  const opened = await openTelling(data, { skipBad, crop: experiment.crop, smallest, signal }, (event) =>
    emit(event.kind === 'data' ? event : { ...event, leftOut: false }),
  );
  if (opened.faults.length > 0) emit({ kind: 'bad-files', faults: opened.faults, leftOut: true });
  return { ...opened, workers };
}

async function checkMemory(
  { experiment, plugins }: TrainingConfig,
  { device, signal, emit }: Place,
): Promise<void> {
  const { iterations } = experiment;
  if (device !== 'cpu' && !cudaAvailable()) {
    emit({ kind: 'memory', device, iterations, measured: undefined });
    return;
  }
  emit({ kind: 'stage', stage: 'measure a step' });
  // The ranks of a machine share its memory, and each has a GPU to itself.
  const available = availableMemory() / ranksHere();
  const measured = await measureStepMemory(experiment, { device, available, signal, plugins });
  const needed = checkFits(measured);
  const { seconds } = measured;
  emit({ kind: 'memory', device, iterations, measured: { needed, available: measured.available, seconds } });
}

/** With the decoding threads of one of several ranks on a machine, which share its cores. */
function placed(place: Place) {
  const { group } = place;
  const workers = group && Math.max(1, Math.floor(availableParallelism() / ranksHere()) - 1);
  return { ...place, workers };
}
