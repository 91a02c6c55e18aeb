// DAFormer's recipe for any method and network.

import { type Experiment, parseExperiment } from '../config/experiment.js';
import { daformerRareClasses } from '../config/rare-classes.js';
import { defaultSegmentor } from '../config/segmentor.js';

/** What a recipe leaves to choose. */
export type RecipeOverrides = Partial<Omit<Experiment, 'crop' | 'optimizer' | 'schedule'>> & {
  crop?: { width: number; height: number };
  /** Peak rate of the encoder. */
  lr?: number;
};

/**
 * DAFormer's recipe (`gta2cs_uda_warm_fdthings_rcs_croppl_a999`) for any method and network. Its warm-up, 1500 of 40,000
 * iterations, is the same share of a run of another length.
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
