// What a person chooses of a training, with defaults and descriptions: the options of `pgpc train`, and of a program.

import { DATASET_FORMATS } from '@pgpc/datasets/formats';
import { z } from 'zod';
import { scaleSchema } from '../config/data.js';
import { denoiseNames } from '../config/denoise.js';
import { didYouMean } from '../config/did-you-mean.js';
import { count } from '../config/fields.js';
import { lossWeightNames } from '../config/loss-weights.js';
import { methodNames } from '../config/method.js';
import { precisions } from '../config/precision.js';
import { scoreNames } from '../config/scores.js';
import { networkChoices } from '../config/segmentor.js';
import { styleNames } from '../config/style.js';
import { UsageError } from '../config/usage-error.js';
import { drivingPresetNames } from '../recipes/driving.js';

/** A folder, or also how to read it; what is left out is told from the folder or the preset. */
const domain = z.union([
  z.string().min(1),
  z.strictObject({
    root: z.string().min(1),
    format: z.enum(DATASET_FORMATS).optional(),
    scale: scaleSchema.optional(),
  }),
]);

export const choiceSchema = z.strictObject({
  preset: z.enum(drivingPresetNames).optional().describe('experiment of the paper'),
  source: domain.describe('labelled source images'),
  target: domain.describe('target images; labels are never trained on'),
  method: z.string().default('pgpc').describe('what to train'),
  style: z
    .enum(styleNames)
    .default('none')
    .describe("source images in the target's style, with every method"),
  fdaBeta: z
    .number()
    .min(0)
    .max(0.5)
    .optional()
    .describe("share of the crop's shorter side up to which fda exchanges frequencies (default: 0.01)"),
  denoise: z
    .enum(denoiseNames)
    .default('none')
    .describe('how pseudo-labels are cleaned, with every method that has a teacher'),
  lossWeights: z
    .enum(lossWeightNames)
    .default('fixed')
    .describe('where lambda_t and lambda_c come from, for methods that have them'),
  network: z.enum(networkChoices).optional().describe('network'),
  iterations: count.default(40_000).describe('training steps'),
  batch: count.default(2).describe('source images a step, and as many of the target'),
  crop: scaleSchema.default({ width: 512, height: 512 }).describe('size of the training crops in pixels'),
  lr: z.number().gt(0).default(6e-5).describe('peak learning rate of the encoder'),
  seed: z
    .number()
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .default(1)
    .describe('seed of everything random'),
  weights: z
    .string()
    .optional()
    .describe('weights file, or name of pulled weights, to start the encoder from (default: random)'),
  set: z
    .record(z.string(), z.unknown())
    .default({})
    .describe('a change of any option of the experiment, applied last, such as method.contrast.rank=3'),
  skipBad: z
    .boolean()
    .default(false)
    .describe('leave out files that do not decode or fit, instead of refusing to start'),
  device: z
    .string()
    .default('auto')
    .describe('where to compute: auto, cpu, cuda or cuda:N; auto is the GPU where there is one'),
  precision: z.enum(precisions).optional().describe('what the networks compute in'),
  activationCheckpointing: z
    .boolean()
    .default(false)
    .describe(
      'run most of the network twice, instead of keeping what it computes for the backward pass: less memory, more time',
    ),
  select: z
    .enum(scoreNames)
    .default('information')
    .describe('score on unlabelled target images by which the best checkpoint is kept'),
  workers: z.number().int().min(0).optional().describe('threads that decode images (default: cores - 1)'),
  plugins: z
    .array(z.string())
    .default([])
    .describe('module file that registers parts and methods of your own; repeatable'),
});

/** What may be chosen: all but the two domains has a default. */
export type TrainingChoice = z.input<typeof choiceSchema>;
/** The same with the defaults. */
export type ResolvedChoice = z.output<typeof choiceSchema>;

/**
 * @param choice with the plugins loaded that it names, as they may register its method.
 * @throws UsageError for a method that there is not, and for what does not go together.
 */
export function refuseContradictions(choice: Omit<ResolvedChoice, 'source' | 'target' | 'plugins'>): void {
  const { style, fdaBeta, method, denoise, lossWeights, select } = choice;
  const refuse = (text: string) => {
    throw new UsageError(text);
  };
  if (!methodNames.includes(method)) {
    refuse(`--method ${method}: must be one of ${methodNames.join(', ')}${didYouMean(method, methodNames)}`);
  }
  if (fdaBeta !== undefined && style !== 'fda') refuse('--fda-beta goes with --style fda');
  if (select === 'margin' && ['source-only', 'self-training', 'daformer'].includes(method)) {
    refuse(`--select margin: ${method} has no prototypes`);
  }
  if (method !== 'source-only') return;
  if (denoise !== 'none') refuse(`--denoise ${denoise}: source-only has no pseudo-labels to clean`);
  if (lossWeights !== 'fixed') refuse(`--loss-weights ${lossWeights}: source-only has one loss`);
  if (select === 'agreement') refuse('--select agreement: source-only has no teacher to agree with');
}
