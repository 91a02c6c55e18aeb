// `pgpc ablate`: the runs of a sweep that have not ended yet, and its table after every one.

import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { classStatistics, openGta5, writeWholeSync } from '@pgpc/datasets';
import type { StreetSynthFolders } from '@pgpc/street-synth';
import { writeSweep } from '../ablation/page.js';
import { finished, type PlannedRun, plan } from '../ablation/plan.js';
import { foldersNamed, METRICS_FILE, RESULT_FILE, type RunResult, writeResult } from '../ablation/results.js';
import { sweeps } from '../ablation/sweeps.js';
import { minorityClasses, rowsOf, type SweepTable, textCells } from '../ablation/table.js';
import { type RunWatch, TimeBudget } from '../ablation/time-budget.js';
import { didYouMean } from '../config/did-you-mean.js';
import type { Experiment } from '../config/experiment.js';
import { describeDevice, useCores } from '../machine.js';
import { streetSynthPreset } from '../recipes/street-synth.js';
import type { Ablate, AblateOptions } from './ablate-types.js';
import { Branches, inLanes, type Job, jobsOn, workersOn } from './branches.js';
import { UsageError } from './command.js';
import { chosenDevice, chosenPrecision } from './device.js';
import type { CommandIo } from './io.js';
import { textTable } from './output/table.js';
import { presetDataFolder, renderStreetSynth } from './render-preset.js';

/** What training one run gives. */
export interface Trained extends Pick<RunResult, 'seconds' | 'scores'> {
  outcome: 'finished' | 'stopped';
  /** What was logged, in order. */
  log: { iteration: number; values: Record<string, number> }[];
}

/** Trains runs, and leaves their networks in their folders. */
export interface RunTrainer {
  /** @param onStep told of the steps done. */
  train(run: PlannedRun, onStep: (done: number) => void): Promise<Trained>;
  done(): void;
}

interface RunJob extends Job {
  readonly run: PlannedRun;
}

/** The options with the device that was found, and the experiments' precision on it. */
export type SweepOptions = Omit<AblateOptions, 'precision'> & Pick<Experiment, 'precision'>;

export const ablate: Ablate = async (given, io) => {
  useCores(1);
  const { precision: asked, ...rest } = given;
  const device = chosenDevice(given.device);
  if (given.scale === 'large' && device === 'cpu') {
    io.stderr.write('--scale large is for a GPU: here, on the CPU, each run may take a day\n');
  }
  const options: SweepOptions = { ...rest, device, ...chosenPrecision(asked, device) };
  await runSweep(options, io, (roots, steps, limited) => inProcesses(options, roots, steps, limited));
};

/**
 * Runs what is missing of a sweep, and writes its table after every run.
 * @param trainer makes what trains, from the data and the number of steps that are to come; it stops by the signal of the
 *   `limited` io, at the time limit too.
 */
export async function runSweep(
  options: SweepOptions,
  io: CommandIo,
  trainer: (roots: StreetSynthFolders, steps: number, limited: CommandIo) => RunTrainer,
): Promise<void> {
  const { name, out, scale, cells, device, jobs = jobsOn(device), minutes } = options;
  const trainedOn = describeDevice(device);
  const budget = minutes === undefined ? undefined : new TimeBudget(60_000 * minutes);
  const signal = budget ? AbortSignal.any([io.signal, budget.signal]) : io.signal;
  const runs = planned(options);
  const todo = missing(runs, cells);
  const asked = runs.filter(({ cell }) => cell && (cells?.includes(cell.name) ?? true));
  const left = todo.filter(({ run }) => run.cell).length;
  io.stdout.write(
    `${sweeps[name].title}: ${count(asked.length, 'run')}, ${asked.length - left} of them finished before\n`,
  );
  for (const { run } of todo) {
    const reason = whyAgain(run, out);
    if (reason) io.stderr.write(`${labelOf(run)}: ${reason}\n`);
  }
  const { data } = streetSynthPreset(options);
  const roots = await renderStreetSynth(options.data ?? presetDataFolder(scale), data, io);
  const source = await openGta5(roots.source);
  const { counts } = await classStatistics(source);
  const classes = source.classes.map((info) => info.name);
  const minority = minorityClasses(counts);
  const table = () => tableOf(options, runs, classes, minority, io);
  const folder = join(out, name);
  writeSweep(folder, table());
  const steps = todo.reduce((sum, { run }) => sum + run.experiment.iterations, 0);
  const training = trainer(roots, steps, { ...io, signal });
  const failures: string[] = [];
  try {
    // Where the end may come before all have run, seeds are to be whole.
    const inTurn = budget ? todo.map((job) => ({ ...job, turn: job.run.seed })) : todo;
    await inLanes(inTurn, jobs, signal, async ({ run }) => {
      if (budget?.fits(run.experiment) === false) {
        io.stderr.write(`${labelOf(run)}: not started, it would not end within --minutes ${minutes}\n`);
        return false;
      }
      const watch: RunWatch | undefined = budget?.watch(run.experiment);
      try {
        const trained = await training.train(run, (done) => watch?.step(done));
        watch?.end();
        if (trained.outcome === 'stopped') return false;
        save(run, trained, trainedOn);
        if (run.cell) writeSweep(folder, table());
        return true;
      } catch (error) {
        // A process that is stopped before it listens ends without a word.
        if (signal.aborted) return false;
        // The other runs do not depend on this one, and a sweep may take a night.
        failures.push(error instanceof Error ? error.message : String(error));
        io.stderr.write(`${failures.at(-1)}\n`);
        return false;
      }
    });
  } catch (error) {
    // The limit is no failure: what has ended is in the table.
    if (io.signal.aborted || !budget?.signal.aborted) throw error;
  } finally {
    training.done();
    if (io.signal.aborted) io.stdout.write(`finished runs are kept; go on with: ${io.command}\n`);
  }
  const { header, rows } = textCells(table());
  if (rows.length > 0) io.stdout.write(`\n${textTable(header, rows)}`);
  io.stdout.write(`\ntable: ${join(folder, 'table.md')}\npage: ${join(folder, 'index.html')}\n`);
  const open = todo.filter(({ run }) => !finished(run)).length;
  if (budget && open > failures.length) {
    io.stdout.write(`${count(open, 'run')} left after --minutes ${minutes}; go on with: ${io.command}\n`);
  }
  if (failures.length > 0) {
    throw new Error(`${failures.length} of ${count(todo.length, 'run')} failed, the first: ${failures[0]}`);
  }
}

function inProcesses(
  { checkpoints, device, jobs = jobsOn(device) }: SweepOptions,
  roots: StreetSynthFolders,
  steps: number,
  io: CommandIo,
): RunTrainer {
  const branches = new Branches(Math.max(1, steps), io);
  return {
    async train(run, onStep) {
      const log: Trained['log'] = [];
      const end = await branches.train(
        labelOf(run),
        {
          experiment: run.experiment,
          source: roots.source,
          target: roots.target,
          device,
          workers: workersOn(device, jobs),
          onTarget: run.onTarget,
          start: run.start,
          weights: undefined,
          checkpoint: run.folder,
          keep: run.cell && !checkpoints ? 'nothing' : 'network',
          evaluate: run.cell !== undefined,
        },
        ({ iteration, values }) => log.push({ iteration, values }),
        onStep,
      );
      return { ...end, log };
    },
    done: () => branches.done(),
  };
}

/** The sweep's runs with all seeds. @throws UsageError for a cell that the sweep does not have. */
function planned(options: SweepOptions): PlannedRun[] {
  const { name, seed, seeds, cells = [] } = options;
  const known = sweeps[name].cells.map((cell) => cell.name);
  for (const cell of cells) {
    if (!known.includes(cell)) {
      throw new UsageError(
        `--cells ${cell}: ${name} has no such cell${didYouMean(cell, known)}; its cells: ${known.join(', ')}`,
      );
    }
  }
  return plan(name, { ...options, seeds: Array.from({ length: seeds }, (_, i) => seed + i) });
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

/** What there is of a run that has not ended, or in its place. */
function whyAgain(run: PlannedRun, out: string): string | undefined {
  if (existsSync(join(run.folder, RESULT_FILE))) {
    return `what is in ${run.folder} is not whole, or not of this run; it runs again`;
  }
  const others = foldersNamed(out, run.seed, run.name).filter((folder) => folder !== run.folder);
  return others.length > 0
    ? `${others.join(' and ')} is of other settings, steps or another source; it runs anew`
    : undefined;
}

function save(run: PlannedRun, { seconds, scores, log }: Trained, device: string): void {
  const { folder, key, name, seed, experiment, onTarget, startKey } = run;
  const lines = log.map(({ iteration, values }) => `${JSON.stringify({ iteration, ...values })}\n`);
  mkdirSync(folder, { recursive: true });
  writeWholeSync(join(folder, METRICS_FILE), lines.join(''));
  writeResult(folder, { key, name, seed, experiment, start: startKey, onTarget, device, seconds, scores });
}

function tableOf(
  options: SweepOptions,
  runs: readonly PlannedRun[],
  classes: readonly string[],
  minority: readonly number[],
  io: CommandIo,
): SweepTable {
  const sweep = sweeps[options.name];
  const results = runs.map((run) => ({ cell: run.cell, result: finished(run) }));
  const rows = rowsOf(
    sweep,
    (cell) => results.flatMap((one) => (one.cell === cell && one.result ? [one.result] : [])),
    minority,
  );
  return { sweep, classes, minority, rows, setting: settingOf(options), command: io.command };
}

/** What all runs of the sweep have in common. */
function settingOf(options: SweepOptions): string {
  const { scale, precision, start, seed, seeds } = options;
  const preset = streetSynthPreset(options);
  const steps = preset.continuation('pgpc').iterations;
  const source = start ? 'given source networks' : `${preset.pretraining.iterations} steps on the source`;
  const which = seeds === 1 ? `seed ${seed}` : `seeds ${seed} to ${seed + seeds - 1}`;
  const size = { demo: '', quick: ' in small (--quick)', large: ' in large (--scale large)' }[scale];
  const computed = precision ? `${precision}, ` : '';
  return `On street-synth/1${size}: ${computed}${source}, then ${steps} steps of each cell; ${which}.`;
}

function labelOf({ seed, name }: PlannedRun): string {
  return `seed${seed}/${name}`;
}

function count(n: number, what: string): string {
  return `${n} ${n === 1 ? what : `${what}s`}`;
}
