// The typed description of one training run, validated once at the edge.

import { z } from 'zod';
import {
  daformerSelfTraining,
  type MethodName,
  methodConfig,
  methodSchema,
  pgpcContrast,
} from '../adaptation/config.js';
import type { ContrastOptions } from '../adaptation/contrast/contrast.js';
import { defaultSegmentor } from '../models/segmentor.js';
import { segmentorSchema } from '../models/weights.js';
import { daformerRareClasses } from '../pipeline/rare-class-sampling.js';

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
});

export type Experiment = z.infer<typeof experimentSchema>;

/** @throws Error that names each key that is wrong, its value and what is allowed. */
export function parseExperiment(value: unknown): Experiment {
  const parsed = experimentSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Error(`the experiment's configuration is not valid\n${z.prettifyError(parsed.error)}`);
}

/** DAFormer's recipe (`gta2cs_uda_warm_fdthings_rcs_croppl_a999`), for a network and method of one's own. */
export function daformerRecipe(method: MethodName, overrides: Partial<Experiment> = {}): Experiment {
  const segmentor = overrides.segmentor ?? defaultSegmentor;
  const contrast: ContrastOptions = {
    ...pgpcContrast,
    width: Math.min(pgpcContrast.width, segmentor.channels),
  };
  return parseExperiment({
    segmentor,
    method: methodConfig(method, daformerSelfTraining, contrast),
    iterations: 40_000,
    batch: 2,
    crop: { width: 512, height: 512, catMaxRatio: 0.75, flip: 0.5 },
    rareClasses: daformerRareClasses,
    optimizer: { lr: 6e-5, headMultiplier: 10, weightDecay: 0.01 },
    schedule: { power: 1, warmupIters: 1500, warmupRatio: 1e-6 },
    seed: 0,
    ...overrides,
  });
}
