// What a person chooses of a training, with defaults and descriptions: the options of `pgpc train`, and of a program.

import { DATASET_FORMATS } from '@pgpc/datasets/formats';
import { z } from 'zod';
import { classMappingSchema, rangeSchema, scaleSchema } from '../config/data.js';
import { denoiseNames } from '../config/denoise.js';
import { didYouMean } from '../config/did-you-mean.js';
import { encoderTrainings } from '../config/encoder-training.js';
import { experimentSchema } from '../config/experiment.js';
import { count, field } from '../config/fields.js';
import { lossWeightNames } from '../config/loss-weights.js';
import { maskingNames, withoutTeacher } from '../config/masked-consistency.js';
import { methodConfig, methodNames } from '../config/method.js';
import { multiResolutionNames } from '../config/multi-resolution.js';
import { precisions } from '../config/precision.js';
import { scoreNames } from '../config/scores.js';
import { networkChoices } from '../config/segmentor.js';
import { checkKey } from '../config/settings.js';
import { styleNames } from '../config/style.js';
import { UsageError } from '../config/usage-error.js';
import { isStartName } from '../models/weights/shipped.js';
import { drivingPresetNames } from '../recipes/driving.js';
import { STEPS_BETWEEN } from './checkpoint-clock.js';

const experiment = experimentSchema.shape;

/** A folder, or also how to read it; what is left out is told from the folder or the preset. */
const domain = z.union([
  z.string().min(1),
  z.strictObject({
    root: z.string().min(1),
    format: z.enum(DATASET_FORMATS).optional(),
    scale: scaleSchema.optional(),
    range: rangeSchema.optional(),
  }),
]);

export const choiceSchema = z.strictObject({
  preset: field(z.enum(drivingPresetNames), 'experiment of the paper').optional(),
  source: field(domain, 'labelled source images'),
  target: field(domain, 'target images; labels are never trained on'),
  classes: field(
    z.union([z.string().min(1), classMappingSchema]),
    "file with the run's classes, and which of each domain's classes they take in, by name (default: both have the same)",
  ).optional(),
  method: field(z.string(), 'what to train').default('pgpc'),
  style: field(z.enum(styleNames), "source images in the target's style, with every method").default('none'),
  fdaBeta: field(
    z.number().min(0).max(0.5),
    "share of the crop's shorter side up to which fda exchanges frequencies (default: 0.01)",
  ).optional(),
  denoise: field(
    z.enum(denoiseNames),
    'how pseudo-labels are cleaned, with every method that has a teacher',
  ).default('none'),
  lossWeights: field(
    z.enum(lossWeightNames),
    'where lambda_t and lambda_c come from, for methods that have them',
  ).default('fixed'),
  network: field(z.enum(networkChoices), 'network').optional(),
  multiResolution: field(
    z.enum(multiResolutionNames),
    'see the image at two resolutions, a context at half size and details, with every method; wants images and crops twice as large',
  ).default('none'),
  maskedConsistency: field(
    z.enum(maskingNames),
    'also learn from images that are mostly hidden, with every method that has a teacher; mic-adverse for weather and night',
  ).default('none'),
  encoderTraining: field(
    z.enum(encoderTrainings),
    'what of a DINO encoder is trained: full, frozen (only what is put on it), or low-rank changes (lora) or tokens (rein) beside it',
  ).default('full'),
  layerDecay: experiment.optimizer.shape.layerDecay,
  iterations: experiment.iterations.default(40_000),
  batch: field(count, 'source images a step, and as many of the target').default(2),
  crop: field(
    scaleSchema,
    'size of the training crops in pixels (default: 512x512; 1024x1024 of a preset with --multi-resolution)',
  ).optional(),
  lr: experiment.optimizer.shape.lr.default(6e-5),
  seed: experiment.seed.default(1),
  weights: field(
    z.string(),
    'weights to start the encoder from: a file, the name of pulled weights, street-synth (of mit-b0; comes with pgpc), or none for random values (default: street-synth for mit-b0 without a preset and --init, else none)',
  ).optional(),
  allowPartial: field(
    z.boolean(),
    'load what fits of the weights, instead of refusing a file that differs',
  ).default(false),
  init: field(
    z.string(),
    'run directory, checkpoint or file of a whole trained network to start student and teacher from, with its network and classes (default: none)',
  ).optional(),
  set: field(
    z.record(z.string(), z.unknown()),
    'a change of any option of the experiment, applied last, such as method.contrast.rank=3',
  ).default({}),
  skipBad: field(
    z.boolean(),
    'leave out files that do not decode or fit, instead of refusing to start',
  ).default(false),
  device: field(
    z.string(),
    'where to compute: auto, cpu, cuda or cuda:N; auto is the GPU where there is one',
  ).default('auto'),
  precision: field(z.enum(precisions), 'what the networks compute in').optional(),
  activationCheckpointing: field(
    z.boolean(),
    'run most of the network twice, instead of keeping what it computes for the backward pass: less memory, more time',
  ).default(false),
  skipNotFinite: experiment.skipNotFinite.unwrap().default(0),
  select: field(
    z.enum(scoreNames),
    'score on unlabelled target images by which the best checkpoint is kept',
  ).default('information'),
  checkpointEvery: field(
    z.number().int().min(1),
    'steps between two checkpoints that are scored; where steps are slow, one is written every ten minutes too',
  ).default(STEPS_BETWEEN),
  workers: field(z.number().int().min(0), 'threads that decode images (default: cores - 1)').optional(),
  plugins: field(
    z.array(z.string()),
    'module file that registers parts and methods of your own; repeatable',
  ).default([]),
});

/** What may be chosen: all but the two domains has a default. */
export type TrainingChoice = z.input<typeof choiceSchema>;
/** The same with the defaults. */
export type ResolvedChoice = z.output<typeof choiceSchema>;

/**
 * @param choice with the plugins loaded that it names, as they may register its method.
 * @throws UsageError for a method that there is not, and for what does not go together; Error for a setting that no
 *   experiment has.
 */
export function refuseContradictions(choice: Omit<ResolvedChoice, 'source' | 'target' | 'plugins'>): void {
  const { style, fdaBeta, method, denoise, lossWeights, select, weights, init, allowPartial } = choice;
  const { maskedConsistency } = choice;
  const refuse = (text: string) => {
    throw new UsageError(text);
  };
  for (const key of Object.keys(choice.set)) checkKey(key);
  if (!methodNames.includes(method)) {
    refuse(`--method ${method}: must be one of ${methodNames.join(', ')}${didYouMean(method, methodNames)}`);
  }
  if (init !== undefined && weights !== undefined) {
    refuse('--init is a whole network, --weights an encoder alone: leave out one of them');
  }
  if (allowPartial && (weights === undefined || isStartName(weights))) {
    refuse('--allow-partial goes with --weights <file>');
  }
  if (fdaBeta !== undefined && style !== 'fda') refuse('--fda-beta goes with --style fda');
  if (select === 'margin' && !methodConfig(method).contrast) {
    refuse(`--select margin: ${method} has no prototypes`);
  }
  if (method !== 'source-only') return;
  if (denoise !== 'none') refuse(`--denoise ${denoise}: source-only has no pseudo-labels to clean`);
  if (maskedConsistency !== 'none') refuse(withoutTeacher(maskedConsistency, [method]));
  if (lossWeights !== 'fixed') refuse(`--loss-weights ${lossWeights}: source-only has one loss`);
  if (select === 'agreement') refuse('--select agreement: source-only has no teacher to agree with');
}
