// Loss weights that set themselves: an experiment, which lost to weights set by hand (docs/results.md).

import { z } from 'zod';
import { defaultsOf, field } from './fields.js';

const gradientNormSchema = z.strictObject({
  kind: field(z.literal('gradient-norm'), 'every pixel pulls as hard as a labelled one', 'gradient-norm'),
  momentum: field(z.number().min(0).lt(1), "decay of the running mean of a weight's logarithm", 0.99),
});

const uncertaintySchema = z.strictObject({
  kind: field(
    z.literal('uncertainty'),
    'learned variances of the losses (Kendall et al. 2018)',
    'uncertainty',
  ),
  lr: field(
    z.number().gt(0),
    'learning rate of the log variances: how far a logarithm moves in a step',
    0.02,
  ),
});

export const weightingSchema = z.discriminatedUnion('kind', [gradientNormSchema, uncertaintySchema]);

export type WeightingOptions = z.infer<typeof weightingSchema>;
export type WeightingName = WeightingOptions['kind'];

/** Weights that follow the losses within about a hundred steps. */
export const weightings = {
  'gradient-norm': defaultsOf(gradientNormSchema),
  uncertainty: defaultsOf(uncertaintySchema),
} satisfies Record<WeightingName, WeightingOptions>;

/** Where the weights of the losses come from. */
export const lossWeightNames = ['fixed', 'gradient-norm', 'uncertainty'] as const satisfies readonly (
  | WeightingName
  | 'fixed'
)[];
