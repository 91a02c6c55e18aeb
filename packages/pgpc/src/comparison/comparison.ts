// Several trainings of one run directory, side by side: what they start from, what they score, and their pictures.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Experiment } from '../config/experiment.js';
import { LiveReport } from '../report/live-report.js';
import { PREVIOUS_FILE } from '../training/checkpoint-names.js';
import { checkRoom, metricsBytes } from '../training/disk.js';
import {
  inLanes,
  type Job,
  jobsOn,
  type ParallelEvent,
  trainInProcess,
  workersOn,
} from '../training/parallel-runs.js';
import type { RunDirectory } from '../training/run-directory/run-directory.js';
import type { TaskData } from '../training/run-program.js';
import { savedBytesOf } from '../training/saved-bytes.js';
import { resultOf } from '../training/worst-images.js';
import type { Gallery } from './gallery.js';

/** One training: from which state, on which data, by which method. */
export interface Branch extends Job {
  readonly label: string;
  readonly experiment: Experiment;
  /** On the target's labels. */
  readonly onTarget: boolean;
  /** Has its place in the table, from 0, and its pictures; left out: it is what others start from. */
  readonly place?: number;
}

/** Looks at a training on its way: scores on a few labelled images of the target, and pictures of some. */
const LOOKS = 4;

/** The seeds of a run: `seeds` of them, counted up from `seed`. */
export interface Seeds {
  readonly seed: number;
  readonly seeds: number;
}

/** The name of a training's checkpoint, with its seed where the run has several. */
export function checkpointName(name: string, { seed, seeds }: Seeds): string {
  return seeded(name, seeds > 1 ? seed : undefined);
}

function seeded(name: string, seed: number | undefined): string {
  return seed === undefined ? name : `${name}-seed${seed}`;
}

export interface ComparedRun {
  readonly run: RunDirectory;
  readonly data: TaskData;
  readonly gallery: Gallery;
  /** 'cpu', 'cuda:0', ... */
  readonly device: string;
  /** What trainings that start from no other start their encoder from; left out: random weights. */
  readonly weights: string | undefined;
}

interface Surroundings {
  readonly signal: AbortSignal;
  readonly onEvent: (event: ParallelEvent | { kind: 'report'; run: RunDirectory; file: string }) => void;
}

/**
 * Trains a run's branches seed by seed, with pictures, and ends the run and writes its report however that ends.
 * @returns the run directory. @throws Error if the disk has too little room, before anything is trained; the signal's reason
 *   when it is aborted, after every branch has saved what it had.
 */
export async function compareInRun(
  branchesOf: (seed: number) => readonly Branch[],
  { seed, seeds }: Seeds,
  compared: ComparedRun,
  surroundings: Surroundings,
): Promise<RunDirectory> {
  const { run, gallery, device } = compared;
  const { signal, onEvent } = surroundings;
  const report = new LiveReport(run.path);
  try {
    await checkDisk(branchesOf(seed), { seed, seeds }, compared, jobsOn(device));
    await gallery.writeSamples();
    for (let i = 0; i < seeds; i++) {
      await trainBranches(
        branchesOf(seed + i),
        { seed: seeds > 1 ? seed + i : undefined, isFirst: i === 0 },
        compared,
        report,
        surroundings,
      );
    }
    run.finish('finished');
  } catch (error) {
    run.fail(signal.aborted ? 'stopped' : 'failed', error);
    // Of what there is; the error that ended the run is the one to be told.
    await tellReport().catch(() => {});
    throw error;
  }
  await tellReport();
  return run;

  async function tellReport(): Promise<void> {
    onEvent({ kind: 'report', run, file: await report.last() });
  }
}

/** @throws Error if the trainings of all seeds are going to take more of the disk than is free. */
async function checkDisk(
  branches: readonly Branch[],
  { seed, seeds }: Seeds,
  { run, gallery }: ComparedRun,
  atOnce: number,
): Promise<void> {
  const trainings = branches.flatMap(({ name, experiment }) => {
    const bytes = savedBytesOf(experiment);
    return Array.from({ length: seeds }, (_, i) => ({
      ...bytes,
      folder: run.checkpointDirectory(checkpointName(name, { seed: seed + i, seeds })),
      stay: { states: 1, models: 1 },
    }));
  });
  const steps = seeds * branches.reduce((sum, { experiment }) => sum + experiment.iterations, 0);
  const placed = branches.filter(({ place }) => place !== undefined).length;
  const shown = (await gallery.bytes(placed)) + metricsBytes(steps);
  checkRoom(run.path, { trainings, atOnce, shown });
}

/**
 * Trains the branches, as many at once as the device allows, each in a process of its own. What is scored goes into the run's
 * results in the order of the table, however it ends.
 * @param seed in the name of every checkpoint where there are several; undefined: the run has one. Of the first there are
 *   pictures of each method's way.
 * @throws the signal's reason when it is aborted, after every branch has saved what it had.
 */
async function trainBranches(
  branches: readonly Branch[],
  { seed, isFirst }: { seed: number | undefined; isFirst: boolean },
  { run, data, gallery, device, weights }: ComparedRun,
  report: LiveReport,
  { signal, onEvent }: Surroundings,
): Promise<void> {
  const checkpointOf = (name: string) => run.checkpointDirectory(seeded(name, seed));
  const order = branches
    .filter(({ place }) => place !== undefined)
    .sort((a, b) => a.place! - b.place!)
    .map(({ name }) => name);
  const jobs = jobsOn(device);
  onEvent({ kind: 'runs', steps: branches.reduce((sum, { experiment }) => sum + experiment.iterations, 0) });
  try {
    await inLanes(branches, jobs, signal, async ({ name, label, experiment, onTarget, after, place }) => {
      const { evaluated, seconds, outcome } = await trainInProcess(
        {
          name,
          experiment,
          data,
          device,
          workers: workersOn(device, jobs),
          onTarget,
          start: after ? { model: checkpointOf(after) } : { weights },
          checkpoint: checkpointOf(name),
          evaluate: place !== undefined,
          watch: {
            every: Math.ceil(experiment.iterations / LOOKS),
            ...(isFirst && place !== undefined && { pictures: run.path }),
          },
        },
        {
          signal,
          onEvent: (event) => {
            if (event.kind === 'log' || event.kind === 'validation')
              run.log({ phase: name, iteration: event.iteration, seed }, event.values);
            if (event.kind === 'pictures') gallery.addCheckpoint({ method: name, seed, ...event });
            onEvent({ kind: 'run', name, iterations: experiment.iterations, event });
          },
        },
      );
      onEvent({ kind: 'run-end', name, outcome });
      // The newest may be trained further by a program; the one before it has done its duty.
      if (outcome === 'finished') rmSync(join(checkpointOf(name), PREVIOUS_FILE), { force: true });
      if (evaluated) {
        const result = resultOf({ name, label, seed, seconds }, evaluated);
        run.addResult(result, order);
        await gallery.keepWorst(result, evaluated.worst);
      }
      if (place !== undefined && outcome === 'finished')
        await gallery.writePredictions(name, checkpointOf(name));
      report.again();
      return outcome === 'finished';
    });
  } finally {
    onEvent({ kind: 'runs-end' });
  }
}
