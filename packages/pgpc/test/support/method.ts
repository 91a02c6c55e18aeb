// What the tests of the method and its pipeline share: random values, tiny networks, datasets held in memory.

import { createHash } from 'node:crypto';
import {
  CITYSCAPES_CLASSES,
  DatasetError,
  type LabelMap,
  type RgbImage,
  type SegmentationDataset,
} from '@pgpc/datasets';
import {
  fromTypedArray,
  Generator,
  type nn,
  rand,
  randn,
  type Tensor,
  type TypedArray,
  tensor,
  tidy,
} from '@pgpc/torch';
import type { StepSurroundings } from '../../src/adaptation/execution/step-execution.js';
import { Learner, type LearnerProjection } from '../../src/adaptation/learner.js';
import { AdaptationStep } from '../../src/adaptation/step.js';
import type { ContrastOptions } from '../../src/config/contrast.js';
import { type Experiment, parseExperiment } from '../../src/config/experiment.js';
import {
  type MethodConfig,
  type MethodName,
  type MethodParts,
  methodConfig,
} from '../../src/config/method.js';
import type { SegmentorConfig } from '../../src/config/segmentor.js';
import type { SelfTrainingOptions } from '../../src/config/self-training.js';
import { withoutInitialValues } from '../../src/models/initial-values.js';
import type { TargetBatch } from '../../src/pipeline/batch.js';
import { PixelStore } from '../../src/pipeline/pixels.js';
import { Rng } from '../../src/random.js';
import { buildOptimizer } from '../../src/training/optimizer.js';
import type { Trainer } from '../../src/training/trainer.js';

export type Dtype = 'float32' | 'float64';

export function normal(shape: readonly number[], seed: number, dtype: Dtype = 'float32'): Tensor {
  using generator = new Generator(seed);
  return randn(shape, { dtype, generator });
}

export function uniform(shape: readonly number[], seed: number): Tensor {
  using generator = new Generator(seed);
  return rand(shape, { generator });
}

/** Rows of unit length. */
export function unitRows(shape: readonly number[], seed: number, dtype: Dtype = 'float32'): Tensor {
  return tidy(() => {
    const x = normal(shape, seed, dtype);
    return x.div(x.norm(2, [-1], true));
  });
}

/** Labels 0 .. classes - 1, about one in six of them 255. */
export function randomLabels(length: number, classes: number, seed: number): number[] {
  const rng = new Rng(seed, 'labels');
  return Array.from({ length }, () => (rng.below(6) === 0 ? 255 : rng.below(classes)));
}

export function int64(values: readonly number[], shape: readonly number[] = [values.length]): Tensor {
  return tidy(() => tensor(values, { dtype: 'int64' }).view(shape));
}

export function matrix(t: Tensor): number[][] {
  return t.tolist() as number[][];
}

export function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, x, i) => sum + x * b[i]!, 0);
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, x) => sum + x, 0) / values.length;
}

type Numbers = Iterable<number> | Iterable<bigint>;

/** Largest difference; NaN if any number is NaN, and Infinity for other lengths. */
export function difference(a: Numbers, b: Numbers): number {
  const [left, right] = [
    Array.from<number | bigint, number>(a, Number),
    Array.from<number | bigint, number>(b, Number),
  ];
  if (left.length !== right.length) return Number.POSITIVE_INFINITY;
  return left.reduce((worst, x, i) => Math.max(worst, Math.abs(x - right[i]!)), 0);
}

/** The derivative of `loss` by every element of `x`, by central differences. @param x float64, which `loss` reads. */
export function slopes(x: Tensor, loss: () => number): number[] {
  const values = x.toSharedArray() as Float64Array;
  return Array.from(values, (value, i) => {
    values[i] = value + 1e-5;
    const above = loss();
    values[i] = value - 1e-5;
    const below = loss();
    values[i] = value;
    return (above - below) / 2e-5;
  });
}

/** Rows in an order of their own, for comparing bags of rows. */
export function sortedRows(rows: readonly (readonly number[])[]): number[][] {
  return rows
    .map((row) => [...row])
    .toSorted((a, b) => {
      const at = a.findIndex((x, i) => x !== b[i]);
      return at < 0 ? 0 : a[at]! - b[at]!;
    });
}

export const CLASSES = 5;

/** Without dropout: what it computes depends on weights and input alone. */
export const tinySegmentor: SegmentorConfig = {
  backbone: 'mit_b0',
  head: 'daformer',
  channels: 16,
  classes: CLASSES,
  dropout: 0,
  dropPath: 0,
};

/** The threshold lies amid the top probabilities of a network that has just been made. */
export const tinySelfTraining: SelfTrainingOptions = {
  weight: 1,
  alpha: 0.9,
  threshold: 0.203,
  ignoreTop: 0,
  ignoreBottom: 0,
  jitterProbability: 0.8,
  jitterStrength: 0.2,
  blurProbability: 0.5,
};

export const tinyContrast: ContrastOptions = {
  weight: 0.1,
  warmup: 0,
  anchorShare: 0.5,
  anchors: 8,
  negatives: 12,
  rank: 2,
  bankCapacity: 40,
  enqueue: 10,
  prototypeQueue: 3,
  temperature: 0.5,
  width: 8,
  depth: 2,
};

/** A training on crops of 32 x 32 that learns something in a few steps, with every part that a method has. */
export function tinyExperiment(
  method: MethodName,
  parts: MethodParts,
  options: Partial<Experiment> & Pick<Experiment, 'iterations'>,
): Experiment {
  return parseExperiment({
    segmentor: { ...tinySegmentor, dropout: 0.1, dropPath: 0.1 },
    method: methodConfig(method, {
      selfTraining: tinySelfTraining,
      featureDistance: { weight: 0.005, classes: [1, 2], minShare: 0.75 },
      ...parts,
    }),
    batch: 2,
    crop: { width: 32, height: 32, catMaxRatio: 0.9, flip: 0.5 },
    optimizer: { lr: 1e-3, headMultiplier: 3, weightDecay: 0.01 },
    schedule: { power: 1, warmupIters: 2, warmupRatio: 0.1 },
    seed: 6,
    ...options,
  });
}

/** Two images of 32 x 32 from each domain; labels in blocks, with some pixels of no class. */
export function tinyBatch(seed: number): TargetBatch {
  const label = Array.from({ length: 2 * 4 * 4 }, (_, i) => randomLabels(32, CLASSES, seed)[i]!);
  return {
    sourceImage: normal([2, 3, 32, 32], 10 * seed + 1),
    sourceLabel: tidy(() => int64(label, [2, 4, 4]).repeatInterleave(8, 1).repeatInterleave(8, 2)),
    targetImage: normal([2, 3, 32, 32], 10 * seed + 2),
  };
}

export interface TinyStep {
  student: Learner;
  step: AdaptationStep;
  dispose(): void;
}

export interface TinyOptions extends StepSurroundings {
  segmentor?: SegmentorConfig;
  seed?: number;
  device?: string;
  /** Of AdamW, by default fast; its first steps go by the gradient's sign, which rounding may turn. */
  lr?: number;
}

/** What networks begin with, by form and seed. In arrays, so that no tensor of it is counted. */
const drawn = new Map<string, { values: ReadonlyMap<string, TypedArray>; generator: Uint8Array }>();

/** What `new Learner` gives. Drawing a network's values takes as long as two steps, so a file draws each but once. */
function tinyLearner(config: SegmentorConfig, seed: number, projection?: LearnerProjection): Learner {
  const key = JSON.stringify([config, seed]);
  const known = drawn.get(key);
  const build = () => new Learner(config, seed, projection);
  const learner = known ? withoutInitialValues(build) : build();
  const { segmentor } = learner;
  const state = [...segmentor.stateDict()];
  if (known) {
    tidy(() =>
      segmentor.loadStateDict(
        new Map(state.map(([name, { shape }]) => [name, fromTypedArray(known.values.get(name)!, shape)])),
      ),
    );
    segmentor.generator.setState(known.generator);
  } else {
    const values = new Map(state.map(([name, value]) => [name, value.toArray()]));
    drawn.set(key, { values, generator: segmentor.generator.getState() });
  }
  return learner;
}

/** A step of the method on a student of its own, which learns fast. */
export function tinyStep(
  method: MethodConfig,
  totalIterations: number,
  { segmentor = tinySegmentor, seed = 3, device = 'cpu', lr = 1e-3, ...surroundings }: TinyOptions = {},
): TinyStep {
  const student = tinyLearner(segmentor, seed, method.contrast).to({ device });
  const optimizer = buildOptimizer(student, { lr, headMultiplier: 2, weightDecay: 0.01 });
  const step = new AdaptationStep(method, student, optimizer, totalIterations, seed, surroundings);
  const dispose = () => {
    step.dispose();
    optimizer.dispose();
    student.dispose();
  };
  return { student, step, dispose };
}

/** What a module holds, by name, as digests: equal only if every bit is. */
export function digests(module: nn.StateModule): Map<string, string> {
  const digest = (value: Tensor) => createHash('sha1').update(value.toArray()).digest('hex');
  return new Map([...module.stateDict()].map(([name, value]) => [name, digest(value)]));
}

/** The names of what is not bit for bit the same in two modules, or in a module and its digests of before. */
export function differing(
  a: nn.StateModule | Map<string, string>,
  b: nn.StateModule | Map<string, string>,
): string[] {
  const [left, right] = [a, b].map((x) => (x instanceof Map ? x : digests(x))) as [
    Map<string, string>,
    Map<string, string>,
  ];
  return [...new Set([...left.keys(), ...right.keys()])].filter((name) => left.get(name) !== right.get(name));
}

/** One channel resized bilinearly, corners of the images (not pixel centres) aligned. */
export function slowBilinear(map: readonly (readonly number[])[], height: number, width: number): number[][] {
  const axis = (i: number, from: number, to: number) => {
    const at = Math.max(0, ((i + 0.5) * from) / to - 0.5);
    const low = Math.floor(at);
    return { low, high: Math.min(low + 1, from - 1), share: at - low };
  };
  return Array.from({ length: height }, (_, y) => {
    const v = axis(y, map.length, height);
    return Array.from({ length: width }, (_, x) => {
      const u = axis(x, map[0]!.length, width);
      const row = (r: number) => map[r]![u.low]! * (1 - u.share) + map[r]![u.high]! * u.share;
      return row(v.low) * (1 - v.share) + row(v.high) * v.share;
    });
  });
}

export interface MemorySample {
  image: RgbImage;
  label?: LabelMap;
}

/** A dataset whose samples lie in memory. */
export function memoryDataset(samples: readonly MemorySample[]): SegmentationDataset {
  return {
    name: 'memory',
    root: 'memory',
    split: 'train',
    classes: CITYSCAPES_CLASSES.slice(0, CLASSES),
    ignoreIndex: 255,
    labelCoding: { kind: 'values', table: Uint8Array.from({ length: 256 }, (_, i) => i) },
    samples: samples.map(({ label }, i) => ({
      id: String(i),
      image: `image-${i}`,
      ...(label ? { label: `label-${i}` } : {}),
    })),
    readImage: async (index) => samples[index]!.image,
    readLabel: async (index) => {
      const label = samples[index]?.label;
      if (!label) throw new DatasetError(`sample ${index} has no label`);
      return label;
    },
  };
}

/** Random pixels; labels in blocks of 8 x 8, each a class or, one in six, 255. */
export function randomSample(width: number, height: number, seed: number): Required<MemorySample> {
  const rng = new Rng(seed, 'sample');
  const blocks = randomLabels(Math.ceil(width / 8) * Math.ceil(height / 8), CLASSES, seed);
  const data = Uint8Array.from({ length: width * height }, (_, i) => {
    const [y, x] = [Math.floor(i / width), i % width];
    return blocks[(y >> 3) * Math.ceil(width / 8) + (x >> 3)]!;
  });
  return {
    image: { width, height, data: Uint8Array.from({ length: width * height * 3 }, () => rng.below(256)) },
    label: { width, height, data },
  };
}

/** Random images of 40 x 40 with labels, one a seed, as a trainer reads them. */
export function randomStore(seeds: readonly number[]): PixelStore {
  return new PixelStore(memoryDataset(seeds.map((seed) => randomSample(40, 40, seed))));
}

/** Trains until so many steps are done. @returns what each step logged. */
export async function trainUntil(trainer: Trainer, until: number): Promise<Record<string, number>[]> {
  const stop = new AbortController();
  const logged: Record<string, number>[] = [];
  await trainer.run({
    logEvery: 1,
    signal: stop.signal,
    onStep: (done) => done === until && stop.abort(),
    onLog: ({ values }) => logged.push(values),
  });
  return logged;
}
