// The demo: renders two domains, trains on one, adapts to the other in several ways, and shows what came of it.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SegmentationDataset } from '@pgpc/datasets';
import { openCityscapes, openGta5 } from '@pgpc/datasets';
import { alignedAndDenoised } from '../ablation/sweeps.js';
import type { Experiment } from '../config/experiment.js';
import { withSettings } from '../config/settings.js';
import { toLabelMap } from '../evaluation/evaluate.js';
import { predictLabels } from '../evaluation/inference.js';
import { describeDevice, useCores, versions } from '../machine.js';
import { loadSegmentor } from '../models/checkpoint.js';
import type { ScaleName } from '../recipes/street-synth.js';
import { type StreetSynthPreset, streetSynthPreset } from '../recipes/street-synth.js';
import { writeReport } from '../report/report.js';
import {
  gitRevision,
  type MethodResult,
  type PictureIndex,
  RunDirectory,
} from '../training/run-directory/run-directory.js';
import { MODEL_FILE } from '../training/trainer.js';
import { Branches, inLanes, type Job, jobsOn, workersOn } from './branches.js';
import type { DemoOptions, RunDemo } from './demo-types.js';
import { chosenDevice } from './device.js';
import type { CommandIo } from './io.js';
import { iouTable } from './output/table.js';
import { presetDataFolder, renderStreetSynth } from './render-preset.js';

interface Data {
  roots: { source: string; target: string };
  source: SegmentationDataset;
  validation: SegmentationDataset;
}

async function openRendered(preset: StreetSynthPreset, scale: ScaleName, io: CommandIo): Promise<Data> {
  const roots = await renderStreetSynth(presetDataFolder(scale), preset.data, io);
  const [source, validation] = await Promise.all([
    openGta5(roots.source),
    openCityscapes(roots.target, 'val'),
  ]);
  return { roots: { source: roots.source, target: roots.target }, source, validation };
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
    const { source } = this.data;
    for (const i of spread(source.samples.length, 3)) {
      const files = { image: `source-${i}.png`, label: `source-${i}-label.png` };
      await this.run.writePicture(files.image, await source.readImage(i));
      await this.run.writeLabelPicture(files.label, await source.readLabel(i));
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

  /** @param checkpoint folder of the method's checkpoint. */
  async writePredictions(method: string, checkpoint: string): Promise<void> {
    using segmentor = loadSegmentor(join(checkpoint, MODEL_FILE)).eval();
    for (const [row, i] of this.#shown.entries()) {
      const image = await this.data.validation.readImage(i);
      using prediction = predictLabels(segmentor, image);
      const file = `target-${i}-${method}.png`;
      await this.run.writeLabelPicture(file, toLabelMap(prediction));
      this.#index.target[row]!.predictions[method] = file;
    }
    this.run.writePictureIndex(this.#index);
  }
}

/** One training of the demo: from which state, on which data, by which method. */
interface Branch extends Job {
  label: string;
  experiment: Experiment;
  onTarget: boolean;
  /** Has its place in the table. */
  compared: boolean;
}

/**
 * The source network goes on in several ways for the same number of steps, from the same state; the oracle is trained on the
 * target's labels, which the others never see, for as many steps as theirs together.
 */
function branchesOf(preset: StreetSynthPreset): Branch[] {
  const { pretraining, continuation, oracle } = preset;
  const from = { onTarget: false, after: 'source', compared: true };
  return [
    { name: 'source', label: 'source', experiment: pretraining, onTarget: false, compared: false },
    { name: 'oracle', label: 'oracle (target labels)', experiment: oracle, onTarget: true, compared: true },
    { name: 'pgpc', label: 'PGPC', experiment: continuation('pgpc'), ...from },
    {
      name: 'pgpc-dcan-denoise',
      label: 'PGPC + DCAN, denoised',
      experiment: withSettings(continuation('pgpc'), alignedAndDenoised),
      ...from,
    },
    { name: 'self-training', label: 'self-training', experiment: continuation('self-training'), ...from },
    { name: 'source-only', label: 'source only', experiment: continuation('source-only'), ...from },
  ];
}

/** The order of the table. */
const COMPARED = ['source-only', 'self-training', 'pgpc', 'pgpc-dcan-denoise', 'oracle'];

/** One seed of the demo: its branches, as many at once as the device allows. */
class DemoSeed {
  readonly #branches: Branches;

  constructor(
    readonly run: RunDirectory,
    readonly data: Data,
    readonly branches: readonly Branch[],
    readonly seed: number | undefined,
    readonly device: string,
    readonly io: CommandIo,
  ) {
    const total = branches.reduce((sum, { experiment }) => sum + experiment.iterations, 0);
    this.#branches = new Branches(total, io);
  }

  /** @throws the signal's reason when it is aborted, after every branch has saved what it had. */
  async all(gallery: Gallery, weights: string | undefined): Promise<void> {
    const results = new Map<string, MethodResult>();
    try {
      await inLanes(this.branches, jobsOn(this.device), this.io.signal, async (branch) => {
        const result = await this.#train(branch, weights);
        if (result) {
          results.set(branch.name, result);
          await gallery.writePredictions(branch.name, this.#checkpoint(branch.name));
        }
        return true;
      });
    } finally {
      for (const name of COMPARED) if (results.has(name)) this.run.addResult(results.get(name)!);
      this.#branches.done();
    }
  }

  #checkpoint(name: string): string {
    return this.run.checkpointDirectory(this.seed === undefined ? name : `${name}-seed${this.seed}`);
  }

  /** Trains one branch in a process of its own; it saves what is there however it ends. */
  async #train(branch: Branch, weights: string | undefined): Promise<MethodResult | undefined> {
    const { name, label, experiment, onTarget, after, compared } = branch;
    const { run, data, seed, device } = this;
    const { scores, seconds } = await this.#branches.train(
      name,
      {
        experiment,
        ...data.roots,
        device,
        workers: workersOn(device, jobsOn(device)),
        onTarget,
        start: after && this.#checkpoint(after),
        weights,
        checkpoint: this.#checkpoint(name),
        keep: 'training',
        evaluate: compared,
      },
      ({ iteration, values }) => run.log({ phase: name, iteration, seed }, values),
    );
    return scores && { name, label, seed, seconds, ...scores };
  }
}

export const runDemo: RunDemo = async (options: DemoOptions, io: CommandIo) => {
  const { quick, sourceSteps, steps, seed, seeds, weights } = options;
  useCores(1);
  const device = chosenDevice(options.device);
  const scale = quick ? 'quick' : 'demo';
  const preset = streetSynthPreset({ scale, seed, sourceSteps, steps });
  const startsFrom = weights
    ? `the encoder weights ${weights}`
    : 'random weights (no ImageNet weights are at hand)';
  const description =
    `From ${startsFrom}, a network is trained on the labelled source for ${preset.pretraining.iterations} steps; ` +
    `then it goes on for ${preset.continuation('pgpc').iterations} steps, each time from the same state: on the ` +
    'source only, by self-training on the unlabelled target, by PGPC, and by PGPC with what goes best with it here: ' +
    'channels aligned to the target (DCAN) and pseudo-labels denoised by prototypes. The oracle is trained on the ' +
    `target with its labels, for all ${preset.oracle.iterations} steps.`;
  io.stdout.write(`${description}\n`);
  const data = await openRendered(preset, scale, io);
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
      device: describeDevice(device),
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
      const one = streetSynthPreset({ scale, seed: seed + i, sourceSteps, steps });
      const named = seeds > 1 ? seed + i : undefined;
      await new DemoSeed(run, data, branchesOf(one), named, device, io).all(gallery, weights);
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
