// `pgpc train`: one method on two folders of images, into a run directory from which it can go on.

import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { ClassInfo } from '@pgpc/datasets';
import { detectFormat, isCityscapes } from '@pgpc/datasets';
import { cudaAvailable, type ProcessGroup } from '@pgpc/torch';
import { pgpcContrast } from '../config/contrast.js';
import { type DenoiseOptions, denoisers } from '../config/denoise.js';
import { type Experiment, parseExperiment } from '../config/experiment.js';
import { daformerFeatureDistance } from '../config/feature-distance.js';
import { type WeightingOptions, weightings } from '../config/loss-weights.js';
import { methodConfig } from '../config/method.js';
import type { UnlabelledScoreName } from '../config/scores.js';
import { networks, segmentorConfig } from '../config/segmentor.js';
import { checkKey, withSettings } from '../config/settings.js';
import { type StyleOptions, styles } from '../config/style.js';
import { evaluateSegmentor } from '../evaluation/evaluate.js';
import { protocolMiou } from '../evaluation/protocols.js';
import type { UnlabelledScores } from '../evaluation/unlabelled.js';
import { describeDevice, useCores, versions } from '../machine.js';
import { describeReport, loadBackboneWeights } from '../models/weights/fit.js';
import { daformerRecipe } from '../recipes/daformer.js';
import { drivingExperiment, drivingPresets } from '../recipes/driving.js';
import { percent } from '../report/format.js';
import { BadFilesError, type DataConfig, dataSchema, type OpenedData, openData } from '../training/data.js';
import { joinGroup } from '../training/distributed.js';
import { availableMemory, checkFits, gib, measureStepMemory } from '../training/memory.js';
import { gitRevision, openRun, RunDirectory } from '../training/run-directory/run-directory.js';
import { CheckpointSelection } from '../training/selection.js';
import { CHECKPOINT_FILE, Trainer } from '../training/trainer.js';
import { UsageError } from './command.js';
import { fileProgress } from './data-progress.js';
import { chosenDevice, chosenPrecision } from './device.js';
import type { CommandIo } from './io.js';
import { progress } from './output/progress.js';
import { iouTable } from './output/table.js';
import type { NewTrainingOptions, Train } from './train-types.js';

/** Steps between two checkpoints. */
const CHECKPOINT_EVERY = 500;

/** What a run directory says of how the run reads its data. */
interface Reading {
  skipBad: boolean;
  workers: number | undefined;
}

/** Where a process trains. */
interface Place {
  device: string;
  /** Those that train the same model with it. */
  group: ProcessGroup | undefined;
}

async function dataOf(options: NewTrainingOptions): Promise<DataConfig> {
  const { preset, sourceRoot, targetRoot, sourceFormat, targetFormat, sourceScale, targetScale } = options;
  const base = preset && drivingPresets[preset].data(sourceRoot, targetRoot);
  const domain = async (
    role: 'source' | 'target',
    root: string,
    format: typeof sourceFormat,
    scale: typeof sourceScale,
  ) => {
    const fixed = base?.[role];
    if (fixed && format && format !== fixed.format) {
      throw new UsageError(
        `--${role}-format ${format}: the ${role} of ${preset} is in the layout of ${fixed.format}`,
      );
    }
    const chosen = scale ?? fixed?.scale;
    return {
      format: format ?? fixed?.format ?? (await detectFormat(root)),
      root,
      ...(chosen && { scale: chosen }),
    };
  };
  return dataSchema.parse({
    source: await domain('source', sourceRoot, sourceFormat, sourceScale),
    target: await domain('target', targetRoot, targetFormat, targetScale),
    protocols: base?.protocols ?? [],
  });
}

/** The classes whose features are held to ImageNet's: DAFormer's on its classes, on others those labelled as things. */
function distanceClasses(classes: readonly ClassInfo[]): number[] {
  if (isCityscapes(classes)) return [...daformerFeatureDistance.classes];
  return classes.flatMap(({ kind, trainId }) => (kind === 'thing' ? [trainId] : []));
}

function styleOf({ style, fdaBeta = styles.fda.beta }: NewTrainingOptions): StyleOptions | undefined {
  if (style === 'fda') return { ...styles.fda, beta: fdaBeta };
  return style === 'none' ? undefined : styles[style];
}

function denoiseOf({ denoise }: NewTrainingOptions): DenoiseOptions | undefined {
  return denoise === 'none' ? undefined : denoisers[denoise];
}

function weightingOf({ lossWeights }: NewTrainingOptions): WeightingOptions | undefined {
  return lossWeights === 'fixed' ? undefined : weightings[lossWeights];
}

function experimentOf(
  options: NewTrainingOptions,
  classes: readonly ClassInfo[],
  device: string,
): Experiment {
  const { preset, method, network, iterations, batch, crop, lr, seed, weights } = options;
  const { activationCheckpointing } = options;
  const overrides = {
    iterations,
    batch,
    crop,
    lr,
    seed,
    ...chosenPrecision(options.precision, device),
    ...(activationCheckpointing && { activationCheckpointing }),
  };
  const style = styleOf(options);
  const denoise = denoiseOf(options);
  const weighting = weightingOf(options);
  if (preset) {
    const imageNet = weights !== undefined;
    const parts = { style, denoise, weighting };
    return drivingExperiment(preset, method, network ?? 'mit-b5', imageNet, { ...overrides, ...parts });
  }
  const [backbone, head] = networks[network ?? 'mit-b0'];
  const things = weights === undefined ? [] : distanceClasses(classes);
  return daformerRecipe({
    segmentor: segmentorConfig(backbone, head, { classes: classes.length }),
    method: methodConfig(method, {
      // A pixel is a negative for all but its most likely classes, of which few classes leave fewer.
      contrast: { ...pgpcContrast, rank: Math.min(pgpcContrast.rank, classes.length - 1) },
      featureDistance: things.length > 0 && { ...daformerFeatureDistance, classes: things },
      style,
      denoise,
      weighting,
    }),
    ...overrides,
  });
}

export const train: Train = async (options, io) => {
  useCores();
  endWithLauncher();
  const device = chosenDevice(options.device);
  using group = joinGroup(process.env, device === 'cpu' ? 'cpu' : 'cuda');
  const place: Place = { device, group };
  const own = group && group.rank > 0 ? silent(io) : io;
  if (options.resume !== undefined) await resume(options.resume, place, own);
  else await trainAnew(options, place, own);
};

/** A rank of `pgpc train --nproc` does not outlive the process that started it. */
function endWithLauncher(): void {
  // A program that calls this as a library may have a channel of its own.
  if (!process.connected || process.env.LOCAL_WORLD_SIZE === undefined) return;
  process.once('disconnect', () => process.exit(1));
  process.channel?.unref();
}

/** For the ranks above 0, which have nothing to tell but errors. */
function silent(io: CommandIo): CommandIo {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  return { ...io, stdout: nowhere, stderr: nowhere };
}

/** Rank 0 goes first: what it leaves in caches the others need not compute, and what it refuses they need not see. */
async function inTurn<T>(group: ProcessGroup | undefined, run: () => Promise<T>): Promise<T> {
  if (group && group.rank > 0) group.barrier();
  const result = await run();
  if (group?.rank === 0) group.barrier();
  return result;
}

async function trainAnew(options: NewTrainingOptions, place: Place, io: CommandIo): Promise<void> {
  const { device, group } = place;
  // Before the data is read, which may take minutes.
  for (const key of Object.keys(options.set)) checkKey(key);
  const config = await dataOf(options);
  const reading: Reading = { skipBad: options.skipBad, workers: options.workers };
  const { data, experiment, run } = await inTurn(group, async () => {
    const data = await openWithProgress(config, reading, io);
    const experiment = withSettings(experimentOf(options, data.classes, device), options.set);
    if (group && group.rank > 0) return { data, experiment, run: undefined };
    describe(experiment, options, data, device, io);
    if (group) io.stderr.write(`${group.size} processes: ${group.size * experiment.batch} images a step\n`);
    if (options.memoryCheck) await checkMemory(experiment, device, io);
    return { data, experiment, run: createRun(options, config, reading, experiment, data, device, io) };
  });
  await trainIn(run, options.method, experiment, config, data, place, io, (trainer) => {
    if (options.weights) {
      const { weights, allowPartial } = options;
      const report = loadBackboneWeights(trainer.learner.segmentor, weights, { allowPartial });
      io.stderr.write(`${describeReport(report).join('\n')}\n`);
    }
    trainer.step.adoptStudent();
  });
}

function createRun(
  options: NewTrainingOptions,
  config: DataConfig,
  reading: Reading,
  experiment: Experiment,
  data: OpenedData,
  device: string,
  io: CommandIo,
): RunDirectory {
  return RunDirectory.create(
    options.out,
    options.name ?? options.method,
    {
      config: { data: config, reading, phase: options.method, experiment, select: options.select },
      classes: data.classes,
      seed: options.seed,
      versions: versions(),
      device: describeDevice(device),
      gitRevision: gitRevision(fileURLToPath(new URL('..', import.meta.url))),
      title: `${options.method} from ${options.sourceRoot} to ${options.targetRoot}`,
      command: io.command,
    },
    { overwrite: options.overwrite, unique: options.name === undefined },
  );
}

async function resume(directory: string, place: Place, io: CommandIo): Promise<void> {
  const { device, group } = place;
  const { config } = openRun(directory).info;
  const { phase, reading } = config as { phase: string; reading: Reading };
  const dataConfig = dataSchema.parse(config.data);
  const experiment = parseExperiment(config.experiment);
  const data = await inTurn(group, () => openWithProgress(dataConfig, reading, io));
  const run = group && group.rank > 0 ? undefined : RunDirectory.resume(directory, describeDevice(device));
  await trainIn(run, phase, experiment, dataConfig, data, place, io, (trainer) => {
    const checkpoint = join(directory, 'checkpoints', phase);
    if (!existsSync(join(checkpoint, CHECKPOINT_FILE))) {
      throw new Error(`${directory} has no checkpoint yet, so there is nothing to go on from; start it anew`);
    }
    trainer.restore(checkpoint);
  });
}

async function openWithProgress(config: DataConfig, reading: Reading, io: CommandIo): Promise<OpenedData> {
  const bars = new Map<string, ReturnType<typeof fileProgress>>();
  try {
    const data = await openData(config, {
      skipBad: reading.skipBad,
      signal: io.signal,
      onProgress: (stage, done, total) => {
        const bar = bars.get(stage) ?? fileProgress(stage, io);
        bars.set(stage, bar);
        bar.onProgress(done, total);
        if (done === total) bar.done();
      },
    });
    for (const { message } of data.faults) io.stderr.write(`left out: ${message}\n`);
    if (data.faults.length > 0)
      io.stderr.write(`left out ${data.faults.length} bad ${data.faults.length === 1 ? 'file' : 'files'}\n`);
    return { ...data, workers: reading.workers };
  } catch (error) {
    if (error instanceof BadFilesError) {
      for (const { message } of error.faults) io.stderr.write(`${message}\n`);
    }
    throw error;
  }
}

/** Says what is not on the command line: what was chosen, and the constants that depend on image size. */
function describe(
  experiment: Experiment,
  options: NewTrainingOptions,
  data: OpenedData,
  device: string,
  io: CommandIo,
): void {
  const { segmentor, rareClasses, crop, method, precision = 'float32' } = experiment;
  const lines = [
    `${describeDevice(device)}, ${precision}`,
    `${segmentor.backbone} with the ${segmentor.head} head, ${data.classes.length} classes, ` +
      `${data.source.length} source and ${data.target!.length} target images`,
  ];
  if (rareClasses) {
    const { minImageShare, minCropShare, temperature } = rareClasses;
    const inCrop = Math.round(minCropShare * crop.width * crop.height);
    lines.push(
      `rare classes: temperature ${temperature}; an image counts for a class on more than ` +
        `${percent(minImageShare)} % of its pixels, a crop on more than ${inCrop} of ${crop.width * crop.height}`,
    );
  }
  if (!options.weights && options.method !== 'source-only') {
    lines.push(
      'no --weights: the encoder starts from random values, and there is no feature distance to ImageNet',
    );
  } else if (!method.featureDistance && ['daformer', 'pgpc'].includes(options.method)) {
    lines.push('no feature distance: none of the classes is a thing');
  }
  io.stderr.write(`${lines.join('\n')}\n`);
}

async function checkMemory(experiment: Experiment, device: string, io: CommandIo): Promise<void> {
  if (device !== 'cpu' && !cudaAvailable()) {
    io.stderr.write("memory: not measured, as the bridge was built without CUDA's headers\n");
    return;
  }
  // The ranks of a machine share its memory, and each has a card to itself.
  const available = availableMemory() / ranksHere();
  const measured = await measureStepMemory(experiment, { device, available, signal: io.signal });
  const needed = checkFits(measured);
  const where = device === 'cpu' ? '' : ` of ${device}`;
  io.stderr.write(
    `memory${where}: a step takes ${gib(needed)} at its peak, ${gib(measured.available)} are free\n`,
  );
}

/** Processes of this run on this machine; launchers that start one a machine do not say. */
function ranksHere(): number {
  return Number(process.env.LOCAL_WORLD_SIZE) || 1;
}

/** Decoding threads of one of several ranks on a machine, which share its cores; undefined: the default. */
function workersBeside(group: ProcessGroup | undefined): number | undefined {
  return group && Math.max(1, Math.floor(availableParallelism() / ranksHere()) - 1);
}

async function trainIn(
  run: RunDirectory | undefined,
  phase: string,
  experiment: Experiment,
  config: DataConfig,
  data: OpenedData,
  { device, group }: Place,
  io: CommandIo,
  start: (trainer: Trainer) => void,
): Promise<void> {
  try {
    const trainer = new Trainer(
      experiment,
      { ...data, workers: data.workers ?? workersBeside(group) },
      { group, device },
    );
    start(trainer);
    const checkpoint = run?.checkpointDirectory(phase);
    const selection = run && (await openSelection(run, data));
    const { iterations } = experiment;
    const bar = progress({ label: phase, total: iterations, stream: io.stderr, start: trainer.iteration });
    let shown = {};
    const keep = () => {
      if (!run || !checkpoint || !selection) return;
      trainer.save(checkpoint);
      const { iteration } = trainer;
      const { scores, warnings } = selection.check(trainer.step, iteration);
      run.log({ phase, iteration }, unlabelledMetrics(scores));
      for (const warning of warnings) bar.note(`warning: step ${iteration}: ${warning}`);
    };
    const began = performance.now();
    const outcome = await trainer.run({
      signal: io.signal,
      onLog: ({ iteration, values }) => {
        shown = { loss: values['loss/total']! };
        run?.log({ phase, iteration }, values);
      },
      onStep: (done) => {
        bar.update(done, shown);
        if (done % CHECKPOINT_EVERY === 0 || done === iterations) keep();
      },
    });
    bar.done(outcome);
    group?.barrier();
    if (!run || !checkpoint || !selection) {
      await trainer.dispose();
      return;
    }
    if (outcome === 'stopped') trainer.save(checkpoint);
    io.stdout.write(`checkpoint: ${checkpoint}\n`);
    if (outcome === 'stopped') {
      run.finish('stopped');
      const ranks = process.connected && group ? ` --nproc ${group.size}` : '';
      io.stdout.write(`go on with: pgpc train --resume ${run.path}${ranks}\n`);
      return;
    }
    const { score, state } = selection.selection;
    if (state.best) {
      io.stdout.write(`best by ${score}, of step ${state.best.iteration}: ${selection.folder}\n`);
    }
    selection.dispose();
    await evaluateTarget(run, phase, trainer, config, data, (performance.now() - began) / 1000, io);
    run.finish('finished');
    await trainer.dispose();
  } catch (error) {
    run?.finish(
      io.signal.aborted ? 'stopped' : 'failed',
      error instanceof Error ? error.message : String(error),
    );
    throw error;
  }
}

/** The choice of the run's best checkpoint, as it stands. */
function openSelection(run: RunDirectory, { target, classes }: OpenedData): Promise<CheckpointSelection> {
  const { select } = run.info.config as { select: UnlabelledScoreName };
  const names = classes.map(({ name }) => name);
  return CheckpointSelection.open(run.checkpointDirectory('best'), target!, select, names);
}

/** The scores under the names that the log has them by. */
function unlabelledMetrics({ shares: _, ...scores }: UnlabelledScores): Record<string, number> {
  return Object.fromEntries(Object.entries(scores).map(([name, value]) => [`unlabelled/${name}`, value]));
}

/** Evaluates on the target's validation split where there is a labelled one: real targets may have none. */
async function evaluateTarget(
  run: RunDirectory,
  name: string,
  trainer: Trainer,
  { target, protocols }: DataConfig,
  { validation }: OpenedData,
  seconds: number,
  io: CommandIo,
): Promise<void> {
  if (!validation) {
    io.stdout.write(`${target.root} has no labelled validation split: nothing to evaluate on\n`);
    return;
  }
  // In float32, as `pgpc eval` computes the scores of what was saved.
  trainer.learner.autocast_(undefined);
  const { scores } = await evaluateSegmentor(trainer.learner.segmentor, validation, {
    size: target.scale,
    signal: io.signal,
  });
  const result = { name, label: name, seconds, ...scores };
  run.addResult(result);
  io.stdout.write(iouTable([result], validation.classes));
  for (const protocol of protocols) {
    io.stdout.write(`mIoU over ${protocol} classes: ${percent(protocolMiou(scores.iou, protocol))}\n`);
  }
}
