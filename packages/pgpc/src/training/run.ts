// A training in a run directory: started, stopped, resumed, evaluated. Tells of it in events and writes to no terminal.

import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { ClassInfo, DatasetFault } from '@pgpc/datasets';
import { cudaAvailable, type ProcessGroup } from '@pgpc/torch';
import type { UnlabelledScoreName } from '../config/scores.js';
import { parseTraining, type TrainingConfig } from '../config/training.js';
import type { UnlabelledScores } from '../evaluation/unlabelled.js';
import { describeDevice, enterProcess, type ProcessOptions, versions } from '../machine.js';
import type { WeightsReport } from '../models/weights/fit.js';
import { BadFilesError, type OpenedData, openData } from './data.js';
import { inTurn, joinGroup, ranksHere } from './distributed.js';
import { availableMemory, checkFits, measureStepMemory } from './memory.js';
import { loadPlugins } from './plugins.js';
import { openRun } from './run-directory/open-run.js';
import { gitRevision } from './run-directory/origin.js';
import { RunDirectory } from './run-directory/run-directory.js';
import type { MethodResult } from './run-directory/schema.js';
import { CheckpointSelection } from './selection.js';
import { type TrainingStart, train } from './train.js';
import { CHECKPOINT_FILE, type LogEntry } from './trainer.js';

/** Steps between two checkpoints. */
const CHECKPOINT_EVERY = 500;

/** What a training tells while it is under way. Of several processes rank 0 alone tells. */
export type TrainingEvent =
  /** Files of the data are read, by stage: 'check source', 'check target', 'count classes'. */
  | { kind: 'data'; stage: string; done: number; total: number }
  /** Bad files: left out with `skipBad`, or else about to end the training with a `BadFilesError`. */
  | { kind: 'bad-files'; faults: readonly DatasetFault[]; leftOut: boolean }
  /** What is going to be trained; once, before anything is written. */
  | {
      kind: 'description';
      config: TrainingConfig;
      data: OpenedData;
      device: string;
      processes: number;
      weights: boolean;
    }
  /** What a step takes, in bytes; undefined: it could not be measured, as the bridge was built without CUDA's headers. */
  | { kind: 'memory'; device: string; measured: { needed: number; available: number } | undefined }
  /** What was loaded of a weights file. */
  | { kind: 'weights'; report: WeightsReport }
  /** The first step comes next; `iteration` steps were done before. */
  | { kind: 'begin'; phase: string; iteration: number; iterations: number }
  | { kind: 'step'; done: number }
  /** Losses and the rest of the log, as `metrics.jsonl` has them. */
  | ({ kind: 'log' } & LogEntry)
  /** A checkpoint has been written to the run directory, and scored without labels; `best`: it is the best so far. */
  | { kind: 'checkpoint'; iteration: number; folder: string; scores: UnlabelledScores; best: boolean }
  /** A sign that adaptation is collapsing. */
  | { kind: 'warning'; iteration: number; message: string }
  /** The last step is done, or the training was stopped; the evaluation comes next. */
  | { kind: 'end'; outcome: 'finished' | 'stopped' };

/** The signal stops the training at a whole step, with a checkpoint. */
export interface TrainingProcessOptions extends ProcessOptions {
  onEvent?: ((event: TrainingEvent) => void) | undefined;
}

export interface RunTrainingOptions extends TrainingProcessOptions {
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
  /** Weights file to start the encoder from; left out: random values. */
  weights?: string | undefined;
  /** Load what fits of `weights` where the file and the encoder differ, instead of refusing it. */
  allowPartial?: boolean | undefined;
  /** Measure a step's memory, in a process of its own, before the run: true by default. */
  memoryCheck?: boolean | undefined;
}

export interface TrainingResult {
  outcome: 'finished' | 'stopped';
  /** The run directory; undefined in ranks above 0, which write none. */
  run: string | undefined;
  /** Folder of the last checkpoint. */
  checkpoint: string | undefined;
  /** The checkpoint that is best by the score without labels. */
  best: { score: UnlabelledScoreName; iteration: number; value: number; folder: string } | undefined;
  /** On the target's labelled validation split; undefined where there is none, or the training was stopped. */
  result: MethodResult | undefined;
  classes: readonly ClassInfo[];
  config: TrainingConfig;
}

/** What the processes of a training share, and what this one is of them. */
interface Place {
  device: string;
  group: ProcessGroup | undefined;
  signal: AbortSignal;
  emit: (event: TrainingEvent) => void;
}

/**
 * Trains in a new run directory. In a process that the environment makes a rank of several (RANK, WORLD_SIZE, ...; see
 * `joinGroup`) all of them train one network, and rank 0 writes and tells.
 * @returns with the outcome 'stopped' where the signal came while steps were done.
 * @throws BadFilesError, DatasetError for the data; Error for a configuration or name that is not valid, for too little
 *   memory, for losses that are not finite; the signal's reason where it came before the first step or after the last.
 */
export function runTraining(
  config: TrainingConfig,
  options: RunTrainingOptions = {},
): Promise<TrainingResult> {
  return inPlace(options, async (place) => {
    await loadPlugins(config.plugins);
    const checked = parseTraining(config);
    const { data, run } = await inTurn(place.group, async () => {
      const data = await openAndTell(checked, place);
      if (isFollower(place)) return { data, run: undefined };
      const { experiment } = checked;
      const { device, group, emit } = place;
      const weights = options.weights !== undefined;
      emit({ kind: 'description', config: checked, data, device, processes: group?.size ?? 1, weights });
      if (options.memoryCheck ?? true) await checkMemory(checked, place);
      const { phase, data: from } = checked;
      const run = RunDirectory.create(
        options.out ?? 'runs',
        options.name ?? phase,
        {
          config: checked,
          classes: data.classes,
          seed: experiment.seed,
          versions: versions(),
          device: describeDevice(device),
          gitRevision: gitRevision(),
          title: options.title ?? `${phase} from ${from.source.root} to ${from.target.root}`,
          command: options.command,
        },
        { overwrite: options.overwrite, unique: options.name === undefined },
      );
      return { data, run };
    });
    return trainIn(run, checked, data, place, options);
  });
}

/**
 * Resumes a run from its last checkpoint: what follows is what would have followed there.
 * @throws Error if the directory holds no training or no checkpoint; else as `runTraining` does.
 */
export function resumeTraining(
  directory: string,
  options: TrainingProcessOptions = {},
): Promise<TrainingResult> {
  return inPlace(options, async (place) => {
    const given = openRun(directory).info.config as Partial<TrainingConfig>;
    await loadPlugins(given.plugins);
    const config = parseTraining(given);
    const checkpoint = join(directory, 'checkpoints', config.phase);
    if (!existsSync(join(checkpoint, CHECKPOINT_FILE))) {
      throw new Error(`${directory} has no checkpoint yet, so there is nothing to resume; start it anew`);
    }
    const data = await inTurn(place.group, () => openAndTell(config, place));
    const run = isFollower(place) ? undefined : RunDirectory.resume(directory, describeDevice(place.device));
    return trainIn(run, config, data, place, { checkpoint });
  });
}

async function inPlace<T>(
  { signal = new AbortController().signal, onEvent, ...options }: TrainingProcessOptions,
  use: (place: Place) => Promise<T>,
): Promise<T> {
  const device = enterProcess(options);
  using group = joinGroup(process.env, device === 'cpu' ? 'cpu' : 'cuda');
  const place = { device, group, signal, emit: () => {} };
  return await use(isFollower(place) || !onEvent ? place : { ...place, emit: onEvent });
}

/** Whether this is a rank above 0, which writes nothing and tells nothing but errors. */
function isFollower({ group }: Pick<Place, 'group'>): boolean {
  return group !== undefined && group.rank > 0;
}

async function openAndTell({ data, reading }: TrainingConfig, { signal, emit }: Place): Promise<OpenedData> {
  const { skipBad, workers } = reading;
  try {
    const opened = await openData(data, {
      skipBad,
      signal,
      onProgress: (stage, done, total) => emit({ kind: 'data', stage, done, total }),
    });
    if (opened.faults.length > 0) emit({ kind: 'bad-files', faults: opened.faults, leftOut: true });
    return { ...opened, workers };
  } catch (error) {
    if (error instanceof BadFilesError) emit({ kind: 'bad-files', faults: error.faults, leftOut: false });
    throw error;
  }
}

async function checkMemory(
  { experiment, plugins }: TrainingConfig,
  { device, signal, emit }: Place,
): Promise<void> {
  if (device !== 'cpu' && !cudaAvailable()) {
    emit({ kind: 'memory', device, measured: undefined });
    return;
  }
  // The ranks of a machine share its memory, and each has a GPU to itself.
  const available = availableMemory() / ranksHere();
  const measured = await measureStepMemory(experiment, { device, available, signal, plugins });
  const needed = checkFits(measured);
  emit({ kind: 'memory', device, measured: { needed, available: measured.available } });
}

/** Decoding threads of one of several ranks on a machine, which share its cores; undefined: the default. */
function workersBeside(group: ProcessGroup | undefined): number | undefined {
  return group && Math.max(1, Math.floor(availableParallelism() / ranksHere()) - 1);
}

async function trainIn(
  run: RunDirectory | undefined,
  config: TrainingConfig,
  data: OpenedData,
  { device, group, signal, emit }: Place,
  start: TrainingStart,
): Promise<TrainingResult> {
  const { phase, experiment, select } = config;
  const { iterations } = experiment;
  const { validation, classes } = data;
  let selection: CheckpointSelection | undefined;
  try {
    const folder = run?.checkpointDirectory(phase);
    const { outcome, seconds, scores } = await train({
      experiment,
      data: { ...data, workers: data.workers ?? workersBeside(group) },
      start,
      device,
      group,
      signal,
      evaluation: run && validation && { dataset: validation, size: config.data.target.scale, signal },
      onWeights: (report) => emit({ kind: 'weights', report }),
      onBegin: async ({ iteration }) => {
        const names = classes.map(({ name }) => name);
        if (run) {
          selection = await CheckpointSelection.open(
            run.checkpointDirectory('best'),
            data.target!,
            select,
            names,
          );
        }
        emit({ kind: 'begin', phase, iteration, iterations });
      },
      onLog: (entry) => {
        run?.log({ phase, iteration: entry.iteration }, entry.values);
        emit({ kind: 'log', ...entry });
      },
      onStep: (done, trainer) => {
        emit({ kind: 'step', done });
        if (!run || !folder || !selection) return;
        if (done % CHECKPOINT_EVERY !== 0 && done !== iterations) return;
        trainer.save(folder);
        const { scores, warnings, best } = selection.check(trainer.step, done);
        run.log({ phase, iteration: done }, unlabelledMetrics(scores));
        emit({ kind: 'checkpoint', iteration: done, folder, scores, best });
        for (const message of warnings) emit({ kind: 'warning', iteration: done, message });
      },
      onTrained: (trainer, outcome) => {
        group?.barrier();
        if (outcome === 'stopped' && folder) trainer.save(folder);
        emit({ kind: 'end', outcome });
      },
    });
    const result = scores && { name: phase, label: phase, seconds, ...scores };
    if (result) run?.addResult(result);
    run?.finish(outcome);
    const kept = selection?.selection.state.best;
    const best = kept && selection && { score: select, ...kept, folder: selection.folder };
    return { outcome, run: run?.path, checkpoint: folder, best, result, classes, config };
  } catch (error) {
    run?.finish(
      signal.aborted ? 'stopped' : 'failed',
      error instanceof Error ? error.message : String(error),
    );
    throw error;
  } finally {
    selection?.dispose();
  }
}

/** The scores under the names that the log has them by. */
function unlabelledMetrics({ shares: _, ...scores }: UnlabelledScores): Record<string, number> {
  return Object.fromEntries(Object.entries(scores).map(([name, value]) => [`unlabelled/${name}`, value]));
}
