// The runs of a sweep that have not ended yet, and its table after every one.

import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { classStatistics, openGta5, writeWholeSync } from '@pgpc/datasets';
import { didYouMean } from '../config/did-you-mean.js';
import type { Experiment } from '../config/experiment.js';
import { chosenPrecision } from '../config/precision.js';
import { checkKey } from '../config/settings.js';
import { UsageError } from '../config/usage-error.js';
import type { Scores } from '../evaluation/scores.js';
import { chosenDevice, describeDevice } from '../machine.js';
import { MODEL_FILE } from '../models/checkpoint.js';
import { streetSynthPreset } from '../recipes/street-synth.js';
import { removeStates } from '../training/checkpoint-files.js';
import { checkRoom, metricsBytes } from '../training/disk.js';
import type { OpenEvent } from '../training/open-data.js';
import {
  inLanes,
  type Job,
  jobsOn,
  type ParallelEvent,
  trainInProcess,
  workersOn,
} from '../training/parallel-runs.js';
import { loadPlugins } from '../training/plugins.js';
import { presetDataFolder, type RenderEvent, renderStreetSynth } from '../training/rendered-streets.js';
import { own } from '../training/run-directory/owner.js';
import type { TaskData } from '../training/run-program.js';
import { type SavedBytes, savedBytesOf } from '../training/saved-bytes.js';
import type { TrainedTask } from '../training/train.js';
import type { LogEntry } from '../training/trainer.js';
import { openOwnData, type SweepData, type SweepDomains } from './own-data.js';
import { writeSweep } from './page.js';
import { cellsOn, finished, type OwnData, type PlannedRun, type PlanOptions, plan } from './plan.js';
import { foldersNamed, METRICS_FILE, RESULT_FILE, writeResult } from './results.js';
import type { Sweep } from './sweeps.js';
import { minorityClasses, rowsOf, type SweepTable } from './table.js';
import { type RunWatch, TimeBudget } from './time-budget.js';

export interface SweepOptions extends Omit<PlanOptions, 'seeds' | 'own'> {
  readonly sweep: Sweep;
  /** Folder of the rendered data; left out: the scale's. */
  readonly data?: string | undefined;
  /** Other data than rendered streets. */
  readonly domains?: SweepDomains | undefined;
  /** How many seeds to run, counted up from `seed`; at least 1. */
  readonly seeds: number;
  /** 0..2^32 - 1. */
  readonly seed: number;
  /** Names of the cells to run; left out: all. */
  readonly cells?: readonly string[] | undefined;
  /** Trainings at once; left out: as many as there are cores, and four on a GPU. */
  readonly jobs?: number | undefined;
  /** Minutes after which no run starts or is trained further; left out: no limit. */
  readonly minutes?: number | undefined;
  /** 'auto', 'cpu', 'cuda' or 'cuda:N', whose fast precision is taken where none is given. */
  readonly device: string;
  /** Keep the networks of the cells. */
  readonly checkpoints: boolean;
  /** Module files that register parts of one's own. */
  readonly plugins?: readonly string[] | undefined;
  /** The command line that repeats the sweep. */
  readonly command: string;
}

export type SweepEvent =
  /** What is going to be run; `finished` of the runs were so before. */
  | { kind: 'plan'; title: string; runs: number; finished: number }
  | RenderEvent
  | OpenEvent
  | ParallelEvent
  /** The table has been written to the folder, at the start and after every run of a cell. */
  | { kind: 'table'; table: SweepTable; folder: string }
  /** Why a run is trained again or not at all, or that it failed. */
  | { kind: 'remark'; message: string };

/** What there is at a sweep's end. */
export interface SweepResult {
  /** Runs that were to be trained. */
  runs: number;
  /** Runs that have not finished. */
  left: number;
  /** Why runs failed. */
  failures: string[];
}

/** What training one run gives. */
export interface TrainedRun extends Pick<TrainedTask, 'outcome' | 'seconds'> {
  scores: Scores | undefined;
  /** What was logged, in order. */
  log: LogEntry[];
}

/** Trains a run, and leaves its network in its folder; told of the steps done. */
export type RunTrainer = (run: PlannedRun, onStep: (done: number) => void) => Promise<TrainedRun>;

interface Surroundings {
  signal: AbortSignal;
  onEvent: (event: SweepEvent) => void;
}

interface RunJob extends Job {
  readonly run: PlannedRun;
}

/**
 * Runs what is missing of a sweep, and writes its table after every run.
 * @param trainer makes what trains, from the data's folders; it stops by the signal, which comes at the time limit too. By
 *   default every run trains in a process of its own.
 * @throws UsageError for a cell that the sweep does not have; Error for a setting that does not fit, or too little room on the
 *   disk; the signal's reason when it is aborted, with what has finished kept. Runs that fail are told of in the result.
 */
export async function runSweep(
  { precision, ...given }: SweepOptions,
  { signal: stopped, onEvent }: Surroundings,
  trainer: typeof inProcesses = inProcesses,
): Promise<SweepResult> {
  await loadPlugins(given.plugins);
  const device = chosenDevice(given.device);
  const options: SweepOptions = { ...given, device, ...chosenPrecision(precision, device) };
  const { sweep, out, scale, cells, jobs = jobsOn(device), minutes } = options;
  const remark = (message: string) => onEvent({ kind: 'remark', message });
  if (scale === 'large' && device === 'cpu') {
    remark('--scale large is for a GPU: here, on the CPU, each run may take a day');
  }
  const trainedOn = describeDevice(device);
  const budget = minutes === undefined ? undefined : new TimeBudget(60_000 * minutes);
  const signal = budget ? AbortSignal.any([stopped, budget.signal]) : stopped;
  // What is wrong whatever the data is refused before that is read.
  for (const key of Object.keys(options.set)) checkKey(key);
  refuseUnknownCells(sweep.name, cells, sweep.cells);
  const opening = { signal: stopped, onEvent };
  const opened = options.domains && (await openOwnData(options.domains, opening));
  const fitting = cellsOn(sweep, opened?.own);
  const unfit = sweep.cells.filter((cell) => !fitting.includes(cell)).map(({ label }) => label);
  if (unfit.length > 0) remark(`not on this data, which has too few labels or classes: ${unfit.join(', ')}`);
  const runs = planned(options, opened?.own);
  const todo = missing(runs, cells);
  const asked = runs.filter(({ cell }) => cell && (cells?.includes(cell.name) ?? true)).length;
  const open = todo.filter(({ run }) => run.cell).length;
  onEvent({ kind: 'plan', title: sweep.title, runs: asked, finished: asked - open });
  for (const { run } of todo) {
    const reason = whyAgain(run, out);
    if (reason) remark(`${labelOf(run)}: ${reason}`);
  }
  const data = opened ?? (await renderedData(options, opening));
  checkDisk(todo, options, jobs);
  const minority = minorityClasses(data.counts);
  const folder = join(out, sweep.name);
  const writeTable = () => {
    const table = tableOf(options, runs, data, minority);
    writeSweep(folder, table);
    onEvent({ kind: 'table', table, folder });
  };
  writeTable();
  const train = trainer(data.task, { signal, onEvent }, options);
  onEvent({ kind: 'runs', steps: todo.reduce((sum, { run }) => sum + run.experiment.iterations, 0) });
  const failures: string[] = [];
  try {
    // Where the end may come before all have run, seeds are to be whole.
    const inTurn = budget ? todo.map((job) => ({ ...job, turn: job.run.seed })) : todo;
    await inLanes(inTurn, jobs, signal, async ({ run }) => {
      if (budget?.fits(run.experiment) === false) {
        remark(`${labelOf(run)}: not started, it would not end within --minutes ${minutes}`);
        return false;
      }
      const watch: RunWatch | undefined = budget?.watch(run.experiment);
      try {
        const trained = await train(run, (done) => watch?.step(done));
        watch?.end();
        if (trained.outcome === 'stopped') return false;
        save(run, trained, trainedOn);
        // It is not resumed any more.
        removeStates(run.folder);
        if (run.cell && !options.checkpoints) rmSync(join(run.folder, MODEL_FILE), { force: true });
        if (run.cell) writeTable();
        return true;
      } catch (error) {
        // A process that is stopped before it listens ends without a word.
        if (signal.aborted) return false;
        // The other runs do not depend on this one, and a sweep may take a night.
        const message = error instanceof Error ? error.message : String(error);
        failures.push(message);
        remark(message);
        return false;
      }
    });
  } catch (error) {
    // The limit is no failure: what has ended is in the table.
    if (stopped.aborted || !budget?.signal.aborted) throw error;
  } finally {
    onEvent({ kind: 'runs-end' });
  }
  const left = todo.filter(({ run }) => !finished(run)).length;
  return { runs: todo.length, left, failures };
}

/** Rendered streets, made where they are not there yet. */
async function renderedData(
  { data: folder, scale, seed }: SweepOptions,
  surroundings: Surroundings,
): Promise<SweepData> {
  const { data } = streetSynthPreset({ scale, seed });
  const task = await renderStreetSynth(folder ?? presetDataFolder(scale), data, surroundings);
  const source = await openGta5(task.source);
  const { counts } = await classStatistics(source);
  const size = { demo: '', quick: ' in small (--quick)', large: ' in large (--scale large)' }[scale];
  return {
    own: undefined,
    task,
    classes: source.classes.map((info) => info.name),
    counts,
    where: `street-synth/1${size}`,
  };
}

function inProcesses(
  data: TaskData,
  { signal, onEvent }: Surroundings,
  { device, jobs = jobsOn(device), plugins }: SweepOptions,
): RunTrainer {
  return async (run, onStep) => {
    const log: LogEntry[] = [];
    const { experiment, onTarget, start, weights, folder, cell } = run;
    const name = labelOf(run);
    mkdirSync(folder, { recursive: true });
    // Two sweeps at once may share a run, and its state has one writer.
    const ownership = own(folder);
    const end = await trainInProcess(
      {
        name,
        experiment,
        plugins,
        data,
        device,
        workers: workersOn(device, jobs),
        onTarget,
        start: start === undefined ? { weights } : { model: start },
        checkpoint: folder,
        evaluate: cell !== undefined,
      },
      {
        signal,
        onEvent: (event) => {
          if (event.kind === 'log') log.push({ iteration: event.iteration, values: event.values });
          if (event.kind === 'step') onStep(event.done);
          onEvent({ kind: 'run', name, iterations: experiment.iterations, event });
        },
      },
    ).finally(() => ownership.release());
    onEvent({ kind: 'run-end', name, outcome: end.outcome });
    const { outcome, seconds, evaluated } = end;
    return { outcome, seconds, scores: evaluated?.scores, log };
  };
}

/** @throws UsageError for a cell that is not among them. */
function refuseUnknownCells(
  name: string,
  asked: readonly string[] | undefined,
  cells: readonly { readonly name: string }[],
): void {
  const known = cells.map((cell) => cell.name);
  for (const cell of asked ?? []) {
    if (known.includes(cell)) continue;
    throw new UsageError(
      `--cells ${cell}: ${name} has no such cell${didYouMean(cell, known)}; its cells: ${known.join(', ')}`,
    );
  }
}

/** The sweep's runs with all seeds. @throws UsageError for a cell that the sweep does not have. */
function planned(options: SweepOptions, own: OwnData | undefined): PlannedRun[] {
  const { sweep, seed, seeds, cells } = options;
  refuseUnknownCells(sweep.name, cells, cellsOn(sweep, own));
  return plan(sweep, { ...options, own, seeds: Array.from({ length: seeds }, (_, i) => seed + i) });
}

/** The runs of the chosen cells that have not ended, and what they start from; each once. */
function missing(runs: readonly PlannedRun[], cells: readonly string[] | undefined): RunJob[] {
  const open = runs.filter((run) => !finished(run));
  const wanted = open.filter(({ cell }) => cell && (cells?.includes(cell.name) ?? true));
  const needed = new Set(wanted.flatMap(({ key, after }) => [key, after?.key]));
  const all = new Map(open.filter(({ key }) => needed.has(key)).map((run) => [run.key, run]));
  return [...all.values()].map((run) => ({
    name: run.key,
    after: run.after && all.has(run.after.key) ? run.after.key : undefined,
    run,
  }));
}

/** @throws Error if the runs are going to take more of the disk than is free. */
function checkDisk(todo: readonly RunJob[], { out, checkpoints }: SweepOptions, atOnce: number): void {
  // Cells of one network and of parts of one form are as large, and there may be dozens.
  const known = new Map<string, SavedBytes>();
  const bytesOf = (experiment: Experiment): SavedBytes => {
    const form = JSON.stringify([experiment.segmentor, experiment.method]);
    const bytes = known.get(form) ?? savedBytesOf(experiment);
    known.set(form, bytes);
    return bytes;
  };
  const trainings = todo.map(({ run: { experiment, folder, cell } }) => ({
    ...bytesOf(experiment),
    folder,
    // States go when a run has ended; the network of a source stays for what starts from it.
    stay: { states: 0, models: checkpoints || cell === undefined ? 1 : 0 },
  }));
  const steps = todo.reduce((sum, { run }) => sum + run.experiment.iterations, 0);
  checkRoom(out, { trainings, atOnce, shown: metricsBytes(steps) });
}

/** What there is of a run that has not ended, or in its place. */
function whyAgain(run: PlannedRun, out: string): string | undefined {
  if (existsSync(join(run.folder, RESULT_FILE))) {
    return `what is in ${run.folder} is not whole, or not of this run; it runs again`;
  }
  const others = foldersNamed(out, run.seed, run.name).filter((folder) => folder !== run.folder);
  return others.length > 0
    ? `${others.join(' and ')} is of other settings, steps or another start; it runs anew`
    : undefined;
}

function save(run: PlannedRun, { seconds, scores, log }: TrainedRun, device: string): void {
  const { folder, key, name, seed, experiment, onTarget, startKey } = run;
  const lines = log.map(({ iteration, values }) => `${JSON.stringify({ iteration, ...values })}\n`);
  mkdirSync(folder, { recursive: true });
  writeWholeSync(join(folder, METRICS_FILE), lines.join(''));
  writeResult(folder, { key, name, seed, experiment, start: startKey, onTarget, device, seconds, scores });
}

function tableOf(
  options: SweepOptions,
  runs: readonly PlannedRun[],
  { classes, where }: SweepData,
  minority: readonly number[],
): SweepTable {
  const { sweep, command } = options;
  const results = runs.map((run) => ({ cell: run.cell, result: finished(run) }));
  const rows = rowsOf(
    sweep,
    (cell) => results.flatMap((one) => (one.cell === cell && one.result ? [one.result] : [])),
    minority,
  );
  return {
    sweep,
    classes,
    minority,
    rows,
    setting: settingOf(options, runs, where),
    command,
  };
}

/** What all runs of the sweep have in common. */
function settingOf(options: SweepOptions, runs: readonly PlannedRun[], where: string): string {
  const { precision, start, seed, seeds } = options;
  const preset = streetSynthPreset(options);
  const counts = runs.flatMap(({ cell, experiment }) =>
    cell && cell.method !== 'oracle' && cell.longer === undefined ? [experiment.iterations] : [],
  );
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  const steps = least === most ? most : `${least} to ${most}`;
  const weights = runs.find((run) => run.weights !== undefined)?.weights;
  const from = weights === undefined ? 'random weights' : `the encoder ${weights}`;
  const source = start
    ? 'given source networks'
    : `${preset.pretraining.iterations} steps on the source from ${from}`;
  const which = seeds === 1 ? `seed ${seed}` : `seeds ${seed} to ${seed + seeds - 1}`;
  const computed = precision ? `${precision}, ` : '';
  return `On ${where}: ${computed}${source}, then ${steps} steps of each cell; ${which}.`;
}

function labelOf({ seed, name }: PlannedRun): string {
  return `seed${seed}/${name}`;
}
