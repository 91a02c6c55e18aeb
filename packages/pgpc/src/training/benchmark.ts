// How long the steps of an experiment take on this machine, and where their time goes.

import { setImmediate } from 'node:timers/promises';
import {
  CITYSCAPES_CLASSES,
  DatasetError,
  type LabelMap,
  type RgbImage,
  type SegmentationDataset,
} from '@pgpc/datasets';
import { type nn, type Profile, profile, resetPeakMemory, synchronize, type Tensor } from '@pgpc/torch';
import type { StepLosses } from '../adaptation/step.js';
import type { Experiment } from '../config/experiment.js';
import { type Batch, disposeBatch } from '../pipeline/batch.js';
import { PixelStore } from '../pipeline/pixels.js';
import { Rng } from '../random.js';
import { Trainer, type TrainerSurroundings } from './trainer.js';

/** Side in pixels of the squares that random images are made of: a label of single pixels would be unlike any. */
const PATCH = 32;
const IMAGES = 4;

/** Milliseconds of one iteration. */
export interface StepTime {
  /** From a step's end to the next one's begin: drawing, cropping and normalising a batch. */
  data: number;
  step: number;
}

export interface BenchmarkOptions {
  /** Steps that count, at least 1. */
  steps: number;
  /** Steps before them. */
  warmUp: number;
  signal?: AbortSignal;
  /** 'cpu' by default. */
  device?: string;
  /** Told of every step, also in the warm-up and the second round. */
  onStep?: (done: number) => void;
}

export interface StepTimes {
  /** Of every step by itself: on a GPU its work has been waited for. */
  times: StepTime[];
  /**
   * On a GPU, milliseconds a step of as many again, on batches that are there already and waited for at their end alone,
   * as in training: while the GPU computes, threads decode, and the next operators are being called. Absent on the CPU.
   */
  pipelined?: number;
}

/**
 * Times an experiment's training loop on random images of 1280 x 720 and 1024 x 512, held decoded in memory: all of
 * an iteration but decoding. @throws the signal's reason once it is aborted.
 */
export async function timeSteps(experiment: Experiment, options: BenchmarkOptions): Promise<StepTimes> {
  const { warmUp, steps, signal, device = 'cpu', onStep } = options;
  const onGpu = device !== 'cpu';
  return withTrainer(experiment, { device }, async (trainer) => {
    let done = 0;
    // A bridge that cannot wait for the GPU says so here.
    if (onGpu) resetPeakMemory();
    const iterate = async (): Promise<StepTime> => {
      const began = performance.now();
      await turn(signal);
      const batch = await trainer.loader.next();
      // The batch is on its way to the GPU, whose work is the step's alone from here on.
      if (onGpu) synchronize();
      const loaded = performance.now();
      disposeLosses(trainer.step.run(batch, done));
      if (onGpu) synchronize();
      const ended = performance.now();
      disposeBatch(batch);
      onStep?.(++done);
      return { data: loaded - began, step: ended - loaded };
    };
    const times: StepTime[] = [];
    while (done < warmUp) await iterate();
    while (times.length < steps) times.push(await iterate());
    if (!onGpu) return { times };
    const batches: Batch[] = [];
    try {
      while (batches.length < Math.min(steps, IMAGES)) batches.push(await trainer.loader.next());
      synchronize();
      const began = performance.now();
      for (let i = 0; i < steps; i++) {
        await turn(signal);
        disposeLosses(trainer.step.run(batches[i % batches.length]!, done));
        onStep?.(++done);
      }
      synchronize();
      return { times, pipelined: (performance.now() - began) / steps };
    } finally {
      for (const batch of batches) disposeBatch(batch);
    }
  });
}

/**
 * Profiles the steps of an experiment on random images, without their data. Modules are found under `student`,
 * `teacher` and, the frozen encoder of the feature distance, `frozen`. Times are this process's. On a GPU operators
 * are then called one by one and not as graphs: the time of calling a kernel counts, and the kernel runs meanwhile and after.
 * @throws the signal's reason once it is aborted.
 */
export async function profileSteps(experiment: Experiment, options: BenchmarkOptions): Promise<Profile> {
  const { steps, warmUp, signal, device = 'cpu', onStep } = options;
  return withTrainer(experiment, { device, graphs: false }, async ({ learner, step, loader }) => {
    for (let i = 0; i < warmUp; i++) {
      await turn(signal);
      const batch = await loader.next();
      disposeLosses(step.run(batch, i));
      disposeBatch(batch);
      onStep?.(i + 1);
    }
    const batches: Batch[] = [];
    try {
      while (batches.length < steps) {
        await turn(signal);
        batches.push(await loader.next());
      }
      const { teacher, featureDistance } = step.parts;
      const modules: Record<string, nn.StateModule> = {
        student: learner,
        ...(teacher && { teacher: teacher.network }),
        ...(featureDistance && { frozen: featureDistance.encoder }),
      };
      return profile(
        () => {
          for (const [i, batch] of batches.entries()) {
            disposeLosses(step.run(batch, warmUp + i));
            onStep?.(warmUp + i + 1);
          }
          if (device !== 'cpu') synchronize();
        },
        { modules },
      );
    } finally {
      for (const batch of batches) disposeBatch(batch);
    }
  });
}

async function withTrainer<T>(
  experiment: Experiment,
  surroundings: TrainerSurroundings,
  use: (trainer: Trainer) => Promise<T>,
): Promise<T> {
  const { seed, segmentor } = experiment;
  const images = (width: number, height: number, purpose: string) =>
    new PixelStore(randomDataset(width, height, segmentor.classes, new Rng(seed, purpose)));
  const trainer = new Trainer(
    // Which images are drawn costs nothing, but needs their statistics.
    { ...experiment, rareClasses: undefined },
    { source: images(1280, 720, 'source'), target: images(1024, 512, 'target'), workers: 0 },
    surroundings,
  );
  try {
    return await use(trainer);
  } finally {
    await trainer.dispose();
  }
}

/** Timers and signals get their turn, and the first of them to ask for an end gets it. */
async function turn(signal: AbortSignal | undefined): Promise<void> {
  await setImmediate();
  signal?.throwIfAborted();
}

function disposeLosses(losses: StepLosses): void {
  for (const loss of Object.values(losses)) (loss as Tensor | undefined)?.dispose();
}

function randomDataset(width: number, height: number, classes: number, rng: Rng): SegmentationDataset {
  const patches = (channels: number, limit: number) => {
    const data = new Uint8Array(channels * width * height);
    const row = channels * width;
    for (let y = 0; y < height; y += PATCH) {
      const from = y * row;
      for (let x = 0; x < width; x += PATCH) {
        for (let channel = 0; channel < channels; channel++) {
          const value = rng.below(limit);
          for (let i = x; i < Math.min(x + PATCH, width); i++) data[from + channels * i + channel] = value;
        }
      }
      for (let i = 1; i < Math.min(PATCH, height - y); i++) data.copyWithin(from + i * row, from, from + row);
    }
    return { width, height, data };
  };
  const samples = Array.from({ length: IMAGES }, () => ({
    image: patches(3, 256) satisfies RgbImage,
    label: patches(1, classes) satisfies LabelMap,
  }));
  const sample = (index: number) => {
    const found = samples[index];
    if (!found) throw new DatasetError(`there is no sample ${index} of ${IMAGES}`);
    return found;
  };
  return {
    name: 'random',
    root: '',
    split: 'train',
    classes: CITYSCAPES_CLASSES.slice(0, classes),
    ignoreIndex: 255,
    labelCoding: { kind: 'values', table: Uint8Array.from({ length: 256 }, (_, i) => i) },
    samples: samples.map((_, i) => ({ id: `${i}`, image: `image ${i}`, label: `label ${i}` })),
    readImage: async (index) => sample(index).image,
    readLabel: async (index) => sample(index).label,
  };
}
