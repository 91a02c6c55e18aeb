// The typed description of one training run, validated once at the edge.

import { z } from 'zod';
import { segmentorSchema } from '../models/checkpoint.js';
import { defaultSegmentor } from '../models/segmentor.js';
import { daformerRareClasses } from '../pipeline/rare-class-sampling.js';
import { precisions } from '../precision.js';
import { methodSchema } from './method.js';

const count = z.number().int().min(1);
const share = z.number().min(0).max(1);

export const experimentSchema = z.strictObject({
  segmentor: segmentorSchema,
  method: methodSchema,
  iterations: count,
  /** Source images a step, and as many target images. */
  batch: count,
  crop: z.strictObject({ width: count, height: count, catMaxRatio: share, flip: share }),
  /** Left out: source images are drawn uniformly. */
  rareClasses: z
    .strictObject({ temperature: z.number().gt(0), minImageShare: share, minCropShare: share })
    .optional(),
  optimizer: z.strictObject({
    lr: z.number().gt(0),
    headMultiplier: z.number().gt(0),
    weightDecay: z.number().min(0),
  }),
  /** Poly decay with linear warm-up. */
  schedule: z.strictObject({
    power: z.number().gt(0),
    warmupIters: z.number().int().min(0),
    warmupRatio: share,
  }),
  seed: z
    .number()
    .int()
    .min(0)
    .max(2 ** 32 - 1),
  /** Run most of the student twice instead of keeping what it computes for the backward pass; left out: no. */
  activationCheckpointing: z.boolean().optional(),
  /** What the networks' products are computed in, by autocast; left out: float32, as everything else. */
  precision: z.enum(precisions).optional(),
});

export type Experiment = z.infer<typeof experimentSchema>;

/** @throws Error that names each key that is wrong, its value and what is allowed. */
export function parseExperiment(value: unknown): Experiment {
  const parsed = experimentSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Error(`the experiment's configuration is not valid\n${z.prettifyError(parsed.error)}`);
}

/** What a recipe leaves to choose. */
export type RecipeOverrides = Partial<Omit<Experiment, 'crop' | 'optimizer' | 'schedule'>> & {
  crop?: { width: number; height: number };
  /** Peak rate of the encoder. */
  lr?: number;
};

/**
 * DAFormer's recipe (`gta2cs_uda_warm_fdthings_rcs_croppl_a999`) around a method and a network of one's own. Its warm-up
 * of 1500 of 40,000 iterations is the same share of a run of another length.
 */
export function daformerRecipe({
  crop = { width: 512, height: 512 },
  lr = 6e-5,
  iterations = 40_000,
  ...overrides
}: RecipeOverrides & Pick<Experiment, 'method'>): Experiment {
  return parseExperiment({
    segmentor: defaultSegmentor,
    iterations,
    batch: 2,
    crop: { ...crop, catMaxRatio: 0.75, flip: 0.5 },
    rareClasses: daformerRareClasses,
    optimizer: { lr, headMultiplier: 10, weightDecay: 0.01 },
    schedule: { power: 1, warmupIters: Math.round((1500 / 40_000) * iterations), warmupRatio: 1e-6 },
    seed: 0,
    ...overrides,
  });
}
