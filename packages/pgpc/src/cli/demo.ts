// The demo: renders two domains, trains on one, adapts to the other three ways, and shows what came of it.

import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compiledProgram } from '../compiled.js';
import { openCityscapes } from '../datasets/cityscapes.js';
import { openGta5 } from '../datasets/gta5.js';
import { streetSynthFolders, writeStreetSynth } from '../datasets/street-synth/index.js';
import type { SegmentationDataset } from '../datasets/types.js';
import { toLabelMap } from '../evaluation/evaluate.js';
import { predictLabels } from '../evaluation/inference.js';
import { loadSegmentor } from '../models/weights.js';
import { type StreetSynthPreset, streetSynthPreset } from '../presets/street-synth.js';
import { writeReport } from '../report/report.js';
import type { Experiment } from '../training/experiment.js';
import {
  gitRevision,
  type MethodResult,
  type PictureIndex,
  RunDirectory,
} from '../training/run-directory.js';
import { MODEL_FILE } from '../training/trainer.js';
import { useCores, versions } from '../versions.js';
import type { BranchMessage, BranchTask } from './demo-branch.js';
import type { DemoOptions, RunDemo } from './demo-types.js';
import type { CommandIo } from './io.js';
import { type Progress, progress } from './progress.js';
import { iouTable } from './table.js';

interface Data {
  roots: { source: string; target: string };
  source: SegmentationDataset;
  validation: SegmentationDataset;
}

async function renderData(preset: StreetSynthPreset, quick: boolean, io: CommandIo): Promise<Data> {
  const root = join('data', quick ? 'street-synth-1-quick' : 'street-synth-1');
  const { sourceTrain, sourceVal, targetTrain, targetVal } = preset.data;
  const total = sourceTrain + sourceVal + targetTrain + targetVal;
  const bar = progress({ label: 'render street-synth/1', total, stream: io.stderr, unit: 'images' });
  await writeStreetSynth(root, { ...preset.data, onProgress: (done) => bar.update(done), signal: io.signal });
  bar.done(root);
  const roots = streetSynthFolders(root);
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
interface Branch {
  name: string;
  label: string;
  experiment: Experiment;
  onTarget: boolean;
  /** Starts from what this one ends with. */
  after?: string;
  /** Has its place in the table. */
  compared: boolean;
}

/**
 * The source network goes on three ways for the same number of steps, from the same state; the oracle is trained on the
 * target's labels, which the others never see, for as many steps as theirs together.
 */
function branchesOf(preset: StreetSynthPreset): Branch[] {
  const { pretraining, continuation, oracle } = preset;
  const from = { onTarget: false, after: 'source', compared: true };
  return [
    { name: 'source', label: 'source', experiment: pretraining, onTarget: false, compared: false },
    { name: 'oracle', label: 'oracle (target labels)', experiment: oracle, onTarget: true, compared: true },
    { name: 'pgpc', label: 'PGPC', experiment: continuation('pgpc'), ...from },
    { name: 'self-training', label: 'self-training', experiment: continuation('self-training'), ...from },
    { name: 'source-only', label: 'source only', experiment: continuation('source-only'), ...from },
  ];
}

/** The order of the table. */
const COMPARED = ['source-only', 'self-training', 'pgpc', 'oracle'];

const PROGRAM = compiledProgram(import.meta.url, './demo-branch.js');

/** One seed of the demo: its branches, as many at once as there are cores. */
class DemoSeed {
  readonly #bar: Progress | undefined;
  readonly #losses: Record<string, number> = {};
  readonly #done = new Map<string, number>();

  constructor(
    readonly run: RunDirectory,
    readonly data: Data,
    readonly branches: readonly Branch[],
    readonly seed: number | undefined,
    readonly io: CommandIo,
  ) {
    const total = branches.reduce((sum, { experiment }) => sum + experiment.iterations, 0);
    if (isTerminal(io)) this.#bar = progress({ label: 'train', total, stream: io.stderr });
  }

  /** @throws the signal's reason when it is aborted, after every branch has saved what it had. */
  async all(gallery: Gallery, weights: string | undefined): Promise<void> {
    const waiting = [...this.branches];
    const running = new Map<string, Promise<void>>();
    const ended = new Set<string>();
    const results = new Map<string, MethodResult>();
    const failures: unknown[] = [];
    const lanes = Math.max(1, availableParallelism());
    try {
      while (waiting.length > 0 || running.size > 0) {
        const ready = waiting.findIndex(({ after }) => after === undefined || ended.has(after));
        if (ready >= 0 && running.size < lanes && failures.length === 0 && !this.io.signal.aborted) {
          const [branch] = waiting.splice(ready, 1) as [Branch];
          const task = this.#train(branch, weights)
            .then(async (result) => {
              ended.add(branch.name);
              if (result) results.set(branch.name, result);
              if (result) await gallery.writePredictions(branch.name, this.#checkpoint(branch.name));
            })
            .catch((error: unknown) => failures.push(error))
            .finally(() => running.delete(branch.name)) as Promise<void>;
          running.set(branch.name, task);
        } else if (running.size > 0) await Promise.race(running.values());
        else break;
      }
    } finally {
      for (const name of COMPARED) if (results.has(name)) this.run.addResult(results.get(name)!);
    }
    this.#bar?.done();
    this.io.signal.throwIfAborted();
    if (failures.length > 0) throw failures[0];
  }

  #checkpoint(name: string): string {
    return this.run.checkpointDirectory(this.seed === undefined ? name : `${name}-seed${this.seed}`);
  }

  /** Trains one branch in a process of its own; it saves what is there however it ends. */
  async #train(branch: Branch, weights: string | undefined): Promise<MethodResult | undefined> {
    const { name, label, experiment, onTarget, after, compared } = branch;
    const { io, run, data, seed } = this;
    const line = progress({ label: name, total: experiment.iterations, stream: io.stderr });
    const child = fork(PROGRAM, [], {
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
      // OpenBLAS, which libtorch's own setting does not reach, would take all cores for every branch.
      env: { OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1', ...process.env },
    });
    let stderr = '';
    child.stderr!.on('data', (text) => {
      stderr = `${stderr}${text}`.slice(-2000);
    });
    const stop = () => child.connected && child.send('stop');
    io.signal.addEventListener('abort', stop, { once: true });
    child.send({
      experiment,
      ...data.roots,
      onTarget,
      start: after && this.#checkpoint(after),
      weights,
      checkpoint: this.#checkpoint(name),
      evaluate: compared,
    } satisfies BranchTask);
    let end: Extract<BranchMessage, { kind: 'end' }> | undefined;
    let shown: { loss?: number } = {};
    child.on('message', (message: BranchMessage) => {
      if (message.kind === 'said') io.stderr.write(`${message.line}\n`);
      else if (message.kind === 'log') {
        shown = { loss: message.values['loss/total']! };
        this.#losses[name] = shown.loss!;
        run.log({ phase: name, iteration: message.iteration, seed }, message.values);
      } else if (message.kind === 'step') {
        this.#step(name, message.done);
        if (!this.#bar) line.update(message.done, shown as Record<string, number>);
      } else end = message;
    });
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
    io.signal.removeEventListener('abort', stop);
    if (!end)
      throw new Error(`${name}: ${stderr.trim().split('\n').at(-1) || `ended with exit code ${code}`}`);
    delete this.#losses[name];
    line.done(end.outcome);
    return end.scores && { name, label, seed, seconds: end.seconds, ...end.scores };
  }

  #step(name: string, done: number): void {
    this.#done.set(name, done);
    const total = [...this.#done.values()].reduce((sum, steps) => sum + steps, 0);
    this.#bar?.update(total, this.#losses);
  }
}

function isTerminal(io: CommandIo): boolean {
  return (io.stderr as { isTTY?: boolean }).isTTY === true && process.env.TERM !== 'dumb';
}

export const runDemo: RunDemo = async (options: DemoOptions, io: CommandIo) => {
  const { quick, sourceSteps, steps, seed, seeds, weights } = options;
  useCores(1);
  const preset = streetSynthPreset({ quick, seed, sourceSteps, steps });
  const startsFrom = weights
    ? `the encoder weights ${weights}`
    : 'random weights (no ImageNet weights are at hand)';
  const description =
    `From ${startsFrom}, a network is trained on the labelled source for ${preset.pretraining.iterations} steps; ` +
    `then it goes on for ${preset.continuation('pgpc').iterations} steps, each time from the same state: on the ` +
    'source only, by self-training on the unlabelled target, by PGPC. The oracle is trained on the target with its ' +
    `labels, for all ${preset.oracle.iterations} steps.`;
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
      const one = streetSynthPreset({ quick, seed: seed + i, sourceSteps, steps });
      const named = seeds > 1 ? seed + i : undefined;
      await new DemoSeed(run, data, branchesOf(one), named, io).all(gallery, weights);
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
