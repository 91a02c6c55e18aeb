// The recipe on rendered streets: DAFormer's and PGPC's parts at a size that two CPU cores train in minutes, and larger.

import type { ContrastOptions } from '../config/contrast.js';
import { pgpcContrast } from '../config/contrast.js';
import { type Experiment, parseExperiment } from '../config/experiment.js';
import { chosenMasking, type MaskingName } from '../config/masked-consistency.js';
import { type MethodName, methodConfig } from '../config/method.js';
import { CONTEXT_SCALE, chosenResolutions, type MultiResolutionName } from '../config/multi-resolution.js';
import { daformerRareClasses } from '../config/rare-classes.js';
import type { BackboneName, SegmentorConfig } from '../config/segmentor.js';
import { daformerSelfTraining } from '../config/self-training.js';

export interface StreetSynthPreset {
  /** What is rendered; the width of images is street-synth's default where it is left out. */
  data: {
    seed: number;
    sourceTrain: number;
    sourceVal: number;
    targetTrain: number;
    targetVal: number;
    width?: number;
  };
  /** Training on the source, which all methods start from. */
  pretraining: Experiment;
  /** One method's continuation; the budget is the same for all. */
  continuation: (method: MethodName) => Experiment;
  /** Training on the target's labels, for as many steps as the others have in all. */
  oracle: Experiment;
}

interface Scale {
  data: StreetSynthPreset['data'];
  backbone: BackboneName;
  channels: number;
  crop: number;
  pretrainingIterations: number;
  iterations: number;
  /** Peak rates of the encoder, and the decoder's as multiples: on labels, and of a method that starts from the result. */
  rates: Record<'pretraining' | 'continuation', { lr: number; headMultiplier: number }>;
  /** Sizes of the contrast; what is left out is the paper's. */
  contrast: Partial<ContrastOptions>;
}

// So few steps need a higher rate than DAFormer's 6e-5, which is for 40,000 steps from ImageNet weights.
const smallRates = {
  pretraining: { lr: 1e-3, headMultiplier: 10 },
  continuation: { lr: 1e-3, headMultiplier: 5 },
};
const smallContrast = { anchors: 64, negatives: 128, bankCapacity: 1000, enqueue: 32 };

const scales = {
  demo: {
    data: { seed: 1, sourceTrain: 400, sourceVal: 20, targetTrain: 400, targetVal: 60 },
    backbone: 'mit_b0',
    channels: 64,
    crop: 128,
    pretrainingIterations: 1200,
    iterations: 300,
    rates: smallRates,
    contrast: smallContrast,
  },
  quick: {
    data: { seed: 1, sourceTrain: 24, sourceVal: 4, targetTrain: 24, targetVal: 6 },
    backbone: 'mit_b0',
    channels: 16,
    crop: 64,
    pretrainingIterations: 30,
    iterations: 12,
    rates: smallRates,
    contrast: smallContrast,
  },
  large: {
    data: { seed: 1, sourceTrain: 1200, sourceVal: 20, targetTrain: 1200, targetVal: 200, width: 512 },
    backbone: 'mit_b2',
    channels: 256,
    crop: 256,
    pretrainingIterations: 6000,
    iterations: 3000,
    // The encoder is twice as wide, and the rate that AdamW bears falls with the width.
    rates: {
      pretraining: { lr: 1e-3, headMultiplier: 5 },
      continuation: { lr: 2.5e-4, headMultiplier: 5 },
    },
    contrast: {},
  },
} satisfies Record<string, Scale>;

/** Sizes of the recipe on rendered streets. */
export type ScaleName = keyof typeof scales;
export const scaleNames = Object.keys(scales) as ScaleName[];

export interface StreetSynthChoice {
  /** 'quick' is the demo in small, for tests and a first look; 'large' is more than a CPU can train. */
  scale?: ScaleName | undefined;
  seed: number;
  /** Left out: float32. */
  precision?: Experiment['precision'];
  /** Steps on the source, and of each continuation, instead of the preset's. */
  sourceSteps?: number | undefined;
  steps?: number | undefined;
  /** Number of classes of other data than rendered streets, which has no bonnet in its lowest rows. */
  classes?: number | undefined;
  /** Side of the square crops in pixels, instead of the preset's, which are twice as large with two resolutions. */
  crop?: number | undefined;
  /** Left out: 'none'. */
  multiResolution?: MultiResolutionName | undefined;
  /** Of every method that has a teacher. Left out: 'none'. */
  maskedConsistency?: MaskingName | 'none' | undefined;
}

export function streetSynthPreset(choice: StreetSynthChoice): StreetSynthPreset {
  const scale: Scale = scales[choice.scale ?? 'demo'];
  const { sourceSteps = scale.pretrainingIterations, steps = scale.iterations, precision } = choice;
  const { classes, multiResolution = 'none', maskedConsistency = 'none' } = choice;
  // The context of two resolutions is then as large as the crop of one.
  const { crop = multiResolution === 'none' ? scale.crop : scale.crop / CONTEXT_SCALE } = choice;
  const cropSize = { width: crop, height: crop };
  const segmentor: SegmentorConfig = {
    backbone: scale.backbone,
    head: 'daformer',
    channels: scale.channels,
    classes: classes ?? 19,
    // So short a training from random weights underfits: nothing is dropped.
    dropout: 0,
    dropPath: 0,
    ...chosenResolutions(multiResolution, cropSize),
  };
  const base = {
    segmentor,
    batch: 2,
    crop: { ...cropSize, catMaxRatio: 0.75, flip: 0.5 },
    rareClasses: daformerRareClasses,
    seed: choice.seed,
    ...(precision && { precision }),
  };
  // The teacher's memory of 1 / (1 - alpha) steps has to be short against the run. The target camera sees its own bonnet
  // in the lowest rows, as Cityscapes' does.
  const ignoreBottom = classes === undefined ? Math.round(0.1 * crop) : 0;
  const selfTraining = { ...daformerSelfTraining, alpha: 0.99, ignoreBottom };
  const contrast: ContrastOptions = {
    ...pgpcContrast,
    // Training on the source is the warm-up; what is left is for the banks to fill.
    warmup: 0.1,
    width: scale.channels,
    // A pixel is a negative for all but its most likely classes: with few classes there are fewer of those.
    rank: Math.min(pgpcContrast.rank, segmentor.classes - 1),
    ...scale.contrast,
  };
  const onLabels = (iterations: number) =>
    parseExperiment({
      ...base,
      method: methodConfig('source-only'),
      optimizer: { ...scale.rates.pretraining, weightDecay: 0.01 },
      iterations,
      schedule: { power: 1, warmupIters: Math.round(iterations / 10), warmupRatio: 1e-6 },
    });
  return {
    data: scale.data,
    pretraining: onLabels(sourceSteps),
    oracle: onLabels(sourceSteps + steps),
    continuation: (method) =>
      parseExperiment({
        ...base,
        method: methodConfig(method, {
          selfTraining,
          contrast,
          featureDistance: false,
          maskedConsistency: chosenMasking(maskedConsistency),
        }),
        optimizer: { ...scale.rates.continuation, weightDecay: 0.01 },
        iterations: steps,
        schedule: { power: 1, warmupIters: Math.round(steps / 20), warmupRatio: 1e-6 },
      }),
  };
}
