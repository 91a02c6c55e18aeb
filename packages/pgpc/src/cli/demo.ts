// The demo: renders two domains, trains on one, adapts to the other three ways, and shows what came of it.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Tensor } from '@pgpc/torch';
import type { MethodName } from '../adaptation/config.js';
import { openCityscapes } from '../datasets/cityscapes.js';
import { openGta5 } from '../datasets/gta5.js';
import { streetSynthFolders, writeStreetSynth } from '../datasets/street-synth/index.js';
import type { SegmentationDataset } from '../datasets/types.js';
import { evaluateSegmentor, toLabelMap } from '../evaluation/evaluate.js';
import { predictLabels } from '../evaluation/inference.js';
import { describeReport, loadBackboneWeights } from '../models/weight-fit.js';
import { PixelStore } from '../pipeline/pixels.js';
import { classCounts } from '../pipeline/rare-class-sampling.js';
import { type StreetSynthPreset, streetSynthPreset } from '../presets/street-synth.js';
import { writeReport } from '../report/report.js';
import type { Experiment } from '../training/experiment.js';
import { gitRevision, type PictureIndex, RunDirectory } from '../training/run-directory.js';
import { Trainer, type TrainingData } from '../training/trainer.js';
import { useCores, versions } from '../versions.js';
import type { DemoOptions, RunDemo } from './demo-types.js';
import type { CommandIo } from './io.js';
import { progress } from './progress.js';
import { iouTable } from './table.js';

const CLASSES = 19;

/** What is trained after the common start; the oracle sees the target's labels, which the others never do. */
const continuations: readonly { name: string; label: string; method: MethodName; onTarget: boolean }[] = [
  { name: 'source-only', label: 'source only', method: 'source-only', onTarget: false },
  { name: 'self-training', label: 'self-training', method: 'self-training', onTarget: false },
  { name: 'pgpc', label: 'PGPC', method: 'pgpc', onTarget: false },
  { name: 'oracle', label: 'oracle (target labels)', method: 'source-only', onTarget: true },
];

interface Data {
  source: PixelStore;
  sourceCounts: number[][];
  target: PixelStore;
  targetCounts: number[][];
  validation: SegmentationDataset;
}

async function renderData(preset: StreetSynthPreset, quick: boolean, io: CommandIo): Promise<Data> {
  const root = join('data', quick ? 'street-synth-1-quick' : 'street-synth-1');
  const { sourceTrain, sourceVal, targetTrain, targetVal } = preset.data;
  const total = sourceTrain + sourceVal + targetTrain + targetVal;
  const bar = progress({ label: 'render street-synth/1', total, stream: io.stderr, unit: 'images' });
  await writeStreetSynth(root, { ...preset.data, onProgress: (done) => bar.update(done), signal: io.signal });
  bar.done(root);
  const folders = streetSynthFolders(root);
  const [source, target, validation] = await Promise.all([
    openGta5(folders.source),
    openCityscapes(folders.target, 'train'),
    openCityscapes(folders.target, 'val'),
  ]);
  const stores = { source: new PixelStore(source), target: new PixelStore(target) };
  return {
    ...stores,
    validation,
    sourceCounts: await classCounts(stores.source, CLASSES),
    targetCounts: await classCounts(stores.target, CLASSES),
  };
}

/** A few of `length` positions, evenly spread. */
function spread(length: number, n: number): number[] {
  return Array.from({ length: Math.min(n, length) }, (_, i) =>
    Math.floor(((i + 0.5) * length) / Math.min(n, length)),
  );
}

/** Pictures of source and target, to which every method adds its predictions. */
class Gallery {
  readonly #index: PictureIndex = { source: [], target: [] };
  readonly #shown: number[];

  constructor(
    readonly run: RunDirectory,
    readonly data: Data,
  ) {
    this.#shown = spread(data.validation.samples.length, 4);
  }

  async writeSamples(): Promise<void> {
    for (const i of spread(this.data.source.length, 3)) {
      const { dataset } = this.data.source;
      const files = { image: `source-${i}.png`, label: `source-${i}-label.png` };
      await this.run.writePicture(files.image, await dataset.readImage(i));
      await this.run.writeLabelPicture(files.label, await dataset.readLabel(i));
      this.#index.source.push(files);
    }
    for (const i of this.#shown) {
      const dataset = this.data.validation;
      const files = { image: `target-${i}.png`, truth: `target-${i}-truth.png` };
      await this.run.writePicture(files.image, await dataset.readImage(i));
      await this.run.writeLabelPicture(files.truth, await dataset.readLabel(i));
      this.#index.target.push({ id: dataset.samples[i]!.id, ...files, predictions: {} });
    }
    this.run.writePictureIndex(this.#index);
  }

  async writePredictions(method: string, { learner }: Trainer): Promise<void> {
    learner.segmentor.eval();
    for (const [row, i] of this.#shown.entries()) {
      const image = await this.data.validation.readImage(i);
      using prediction = predictLabels(learner.segmentor, image);
      const file = `target-${i}-${method}.png`;
      await this.run.writeLabelPicture(file, toLabelMap(prediction));
      this.#index.target[row]!.predictions[method] = file;
    }
    this.run.writePictureIndex(this.#index);
  }
}

/** One seed of the demo. */
class DemoSeed {
  constructor(
    readonly run: RunDirectory,
    readonly data: Data,
    readonly preset: StreetSynthPreset,
    readonly seed: number | undefined,
    readonly io: CommandIo,
  ) {}

  /** Trains one phase with progress and metrics, and saves what is there however it ends. */
  async train(
    phase: string,
    experiment: Experiment,
    data: TrainingData,
    start: (trainer: Trainer) => void,
  ): Promise<{ trainer: Trainer; seconds: number }> {
    const trainer = new Trainer(experiment, data);
    start(trainer);
    const bar = progress({ label: phase, total: experiment.iterations, stream: this.io.stderr });
    let shown = {};
    const began = performance.now();
    const outcome = await trainer.run({
      signal: this.io.signal,
      onLog: ({ iteration, values }) => {
        shown = { loss: values['loss/total']! };
        this.run.log({ phase, iteration, seed: this.seed }, values);
      },
      onStep: (done) => bar.update(done, shown),
    });
    const seconds = (performance.now() - began) / 1000;
    bar.done(outcome);
    trainer.save(this.run.checkpointDirectory(this.seed === undefined ? phase : `${phase}-seed${this.seed}`));
    this.io.signal.throwIfAborted();
    return { trainer, seconds };
  }

  async all(gallery: Gallery, weights: string | undefined): Promise<void> {
    const { data, preset, run } = this;
    const source = { source: data.source, sourceCounts: data.sourceCounts };
    const { trainer: common } = await this.train('source', preset.pretraining, source, ({ learner }) => {
      if (weights) {
        const report = describeReport(loadBackboneWeights(learner.segmentor, weights));
        this.io.stderr.write(`${report.join('\n')}\n`);
      }
    });
    const start: Map<string, Tensor> = common.learner.segmentor.stateDict();
    for (const { name, label, method, onTarget } of continuations) {
      const training = onTarget
        ? { source: data.target, sourceCounts: data.targetCounts }
        : { ...source, target: data.target };
      const { trainer, seconds } = await this.train(
        name,
        preset.continuation(method),
        training,
        ({ learner, step }) => {
          learner.segmentor.loadStateDict(start);
          step.adoptStudent();
        },
      );
      const { scores } = await evaluateSegmentor(trainer.learner.segmentor, data.validation, {
        signal: this.io.signal,
      });
      run.addResult({ name, label, seed: this.seed, seconds, ...scores });
      await gallery.writePredictions(name, trainer);
      await trainer.dispose();
    }
    await common.dispose();
  }
}

export const runDemo: RunDemo = async (options: DemoOptions, io: CommandIo) => {
  const { quick, seed, seeds, weights } = options;
  // Tensors of this size gain nothing from a second thread: 8 minutes on one, 10 on two, on a machine in use.
  useCores(1);
  const preset = streetSynthPreset({ quick, seed });
  const startsFrom = weights
    ? `the encoder weights ${weights}`
    : 'random weights (no ImageNet weights are at hand)';
  const description =
    `From ${startsFrom}, a network is trained on the labelled source for ${preset.pretraining.iterations} steps; ` +
    `then it goes on for ${preset.continuation('pgpc').iterations} steps, each time from the same state: on the ` +
    'source only, by self-training on the unlabelled target, by PGPC, and, as the oracle, on the target with its labels.';
  io.stdout.write(`${description}\n`);
  const data = await renderData(preset, quick, io);
  const run = RunDirectory.create(
    options.out,
    options.name ?? (quick ? 'demo-quick' : 'demo'),
    {
      config: {
        preset: 'street-synth',
        quick,
        ...preset.data,
        pretraining: preset.pretraining,
        pgpc: preset.continuation('pgpc'),
      },
      seed,
      versions: versions(),
      gitRevision: gitRevision(fileURLToPath(new URL('..', import.meta.url))),
      title: 'street-synth: from a rendered source to an unlabelled target',
      description,
      command: io.command,
    },
    { overwrite: options.overwrite, unique: options.name === undefined },
  );
  try {
    const gallery = new Gallery(run, data);
    await gallery.writeSamples();
    for (let i = 0; i < seeds; i++) {
      const one = streetSynthPreset({ quick, seed: seed + i });
      await new DemoSeed(run, data, one, seeds > 1 ? seed + i : undefined, io).all(gallery, weights);
    }
    run.finish('finished');
  } catch (error) {
    run.finish(
      io.signal.aborted ? 'stopped' : 'failed',
      error instanceof Error ? error.message : String(error),
    );
    throw error;
  } finally {
    if (run.results.length > 0) io.stdout.write(`\n${iouTable(run.results, run.info.classes)}`);
    io.stdout.write(`\nrun: ${run.path}\nreport: ${await writeReport(run.path)}\n`);
  }
};
