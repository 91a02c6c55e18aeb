// `pgpc train`: one method on two folders of images, into a run directory from which it can go on.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openCityscapes } from '../datasets/cityscapes.js';
import { openGta5 } from '../datasets/gta5.js';
import { CITYSCAPES_CLASSES } from '../datasets/index.js';
import type { SegmentationDataset } from '../datasets/types.js';
import { evaluateSegmentor } from '../evaluation/evaluate.js';
import { loadBackboneWeights } from '../models/weights.js';
import { PixelStore } from '../pipeline/pixels.js';
import { classCounts } from '../pipeline/rare-class-sampling.js';
import { daformerRecipe, type Experiment, parseExperiment } from '../training/experiment.js';
import { gitRevision, openRun, RunDirectory } from '../training/run-directory.js';
import { CHECKPOINT_FILE, Trainer } from '../training/trainer.js';
import { useCores, versions } from '../versions.js';
import type { CommandIo } from './io.js';
import { progress } from './progress.js';
import { iouTable } from './table.js';
import type { NewTrainingOptions, SourceFormat, Train } from './train-types.js';

/** Steps between two checkpoints. */
const CHECKPOINT_EVERY = 500;

interface DataOptions {
  sourceRoot: string;
  sourceFormat: SourceFormat;
  targetRoot: string;
}

/** DAFormer warms up for 1500 of 40,000 iterations; a shorter run for the same share. */
function experimentOf(options: NewTrainingOptions): Experiment {
  const { method, iterations, batch, crop, lr, seed } = options;
  return daformerRecipe(method, {
    iterations,
    batch,
    crop: { ...crop, catMaxRatio: 0.75, flip: 0.5 },
    optimizer: { lr, headMultiplier: 10, weightDecay: 0.01 },
    schedule: { power: 1, warmupIters: Math.round((1500 / 40_000) * iterations), warmupRatio: 1e-6 },
    seed,
  });
}

function openSource({ sourceRoot, sourceFormat }: DataOptions): Promise<SegmentationDataset> {
  return sourceFormat === 'gta5' ? openGta5(sourceRoot) : openCityscapes(sourceRoot, 'train');
}

export const train: Train = async (options, io) => {
  useCores();
  if (options.resume !== undefined) return resume(options.resume, io);
  const experiment = experimentOf(options);
  const { sourceRoot, sourceFormat, targetRoot } = options;
  const data = { sourceRoot, sourceFormat, targetRoot };
  const run = RunDirectory.create(
    options.out,
    options.name ?? options.method,
    {
      config: { data, phase: options.method, experiment },
      seed: options.seed,
      versions: versions(),
      gitRevision: gitRevision(fileURLToPath(new URL('..', import.meta.url))),
      title: `${options.method} from ${sourceRoot} to ${targetRoot}`,
      command: io.command,
    },
    { overwrite: options.overwrite, unique: options.name === undefined },
  );
  await trainIn(run, options.method, experiment, data, io, (trainer) => {
    if (options.weights) loadBackboneWeights(trainer.learner.segmentor, options.weights);
    trainer.step.restartTeacher();
  });
};

async function resume(directory: string, io: CommandIo): Promise<void> {
  const { config } = openRun(directory).info;
  const { phase, data } = config as { phase: string; data: DataOptions };
  const experiment = parseExperiment(config.experiment);
  const run = RunDirectory.resume(directory);
  await trainIn(run, phase, experiment, data, io, (trainer) => {
    const checkpoint = run.checkpointDirectory(phase);
    if (!existsSync(join(checkpoint, CHECKPOINT_FILE))) {
      throw new Error(`${directory} has no checkpoint yet, so there is nothing to go on from; start it anew`);
    }
    trainer.restore(checkpoint);
  });
}

async function trainIn(
  run: RunDirectory,
  phase: string,
  experiment: Experiment,
  data: DataOptions,
  io: CommandIo,
  start: (trainer: Trainer) => void,
): Promise<void> {
  try {
    const source = new PixelStore(await openSource(data));
    const target = new PixelStore(await openCityscapes(data.targetRoot, 'train'));
    const sourceCounts = await classCounts(source, experiment.segmentor.classes);
    const trainer = new Trainer(experiment, { source, sourceCounts, target });
    start(trainer);
    const checkpoint = run.checkpointDirectory(phase);
    const { iterations } = experiment;
    const bar = progress({ label: phase, total: iterations, stream: io.stderr, start: trainer.iteration });
    let shown = {};
    const began = performance.now();
    const outcome = await trainer.run({
      signal: io.signal,
      onLog: ({ iteration, values }) => {
        shown = { loss: values['loss/total']! };
        run.log({ phase, iteration }, values);
      },
      onStep: (done) => {
        bar.update(done, shown);
        if (done % CHECKPOINT_EVERY === 0) trainer.save(checkpoint);
      },
    });
    bar.done(outcome);
    trainer.save(checkpoint);
    io.stdout.write(`checkpoint: ${checkpoint}\n`);
    if (outcome === 'stopped') {
      run.finish('stopped');
      io.stdout.write(`go on with: pgpc train --resume ${run.path}\n`);
      return;
    }
    await evaluateTarget(run, phase, trainer, data, (performance.now() - began) / 1000, io);
    run.finish('finished');
  } catch (error) {
    run.finish(
      io.signal.aborted ? 'stopped' : 'failed',
      error instanceof Error ? error.message : String(error),
    );
    throw error;
  }
}

/** Evaluates on the target's validation split where there is a labelled one: real targets may have none. */
async function evaluateTarget(
  run: RunDirectory,
  name: string,
  trainer: Trainer,
  { targetRoot }: DataOptions,
  seconds: number,
  io: CommandIo,
): Promise<void> {
  if (!existsSync(join(targetRoot, 'gtFine', 'val'))) {
    io.stdout.write(`${targetRoot} has no labelled validation split (gtFine/val): nothing to evaluate on\n`);
    return;
  }
  const validation = new PixelStore(await openCityscapes(targetRoot, 'val'));
  const scores = await evaluateSegmentor(trainer.learner.segmentor, validation, { signal: io.signal });
  const result = { name, label: name, seconds, ...scores };
  run.addResult(result);
  io.stdout.write(iouTable([result], CITYSCAPES_CLASSES));
}
