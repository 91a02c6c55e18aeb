// The typed description of one training run, validated once at the edge.

import { parsedBy } from '@pgpc/datasets';
import { z } from 'zod';
import { count, field, share } from './fields.js';
import { methodSchema } from './method.js';
import { precisions } from './precision.js';
import { rareClassSchema } from './rare-classes.js';
import { detailStep, isDino, type SegmentorConfig, segmentorSchema } from './segmentor.js';
import { isVit } from './vit.js';

const experimentFields = z.strictObject({
  segmentor: segmentorSchema,
  method: methodSchema,
  iterations: field(count, 'training steps'),
  batch: field(count, 'source images a step, and as many target images'),
  crop: z.strictObject({
    width: field(count, 'of the training crops, in pixels'),
    height: field(count, 'of the training crops, in pixels'),
    catMaxRatio: field(share, 'a crop in which one class covers more than this share is drawn again'),
    flip: field(share, 'how often a crop is mirrored'),
  }),
  /** Left out: source images are drawn uniformly. */
  rareClasses: rareClassSchema.optional(),
  optimizer: z.strictObject({
    lr: field(z.number().gt(0), 'peak learning rate of the encoder'),
    headMultiplier: field(z.number().gt(0), "the decoder's rate, as a multiple of it"),
    weightDecay: field(z.number().min(0), 'of AdamW'),
    encoder: field(
      z.enum(['full', 'frozen']),
      'whether a DINO encoder is trained; with an adapter it is not',
      'full',
    ).optional(),
    layerDecay: field(
      z.number().gt(0).max(1),
      'what the rate of a layer of a DINO encoder is multiplied by for each layer above it',
      1,
    ).optional(),
  }),
  /** Poly schedule with linear warm-up. */
  schedule: z.strictObject({
    power: field(z.number().gt(0), 'of the poly schedule'),
    warmupIters: field(z.number().int().min(0), 'steps of linear warm-up'),
    warmupRatio: field(share, "the first step's rate, as a share of the peak"),
  }),
  seed: field(
    z
      .number()
      .int()
      .min(0)
      .max(2 ** 32 - 1),
    'seed of everything random',
  ),
  activationCheckpointing: field(
    z.boolean(),
    'run most of the student twice instead of keeping what it computes for the backward pass',
    false,
  ).optional(),
  precision: field(
    z.enum(precisions),
    "what the networks' products are computed in, by autocast; all else is float32",
    'float32',
  ).optional(),
  skipNotFinite: field(
    z.number().int().min(0),
    'steps that may be skipped because a loss or gradient is not finite: they change no weight; the next such step ends the training',
    0,
  ).optional(),
});

/** What does not go together in an experiment whose parts are fine. */
function multiResolutionFault(
  { multiResolution, head }: SegmentorConfig,
  crop: { width: number; height: number },
): string | undefined {
  if (!multiResolution) return undefined;
  const { width, height } = multiResolution.detailCrop;
  const step = detailStep(head);
  if (width > crop.width || height > crop.height) {
    return `a detail crop of ${width}x${height} does not fit into crops of ${crop.width}x${crop.height}`;
  }
  if (step === undefined || (crop.width % step === 0 && crop.height % step === 0)) return undefined;
  return `crops of a network of two resolutions must have sides that are multiples of ${step}, not ${crop.width}x${crop.height}`;
}

/** What needs an encoder of DINO's, by whether the experiment asks for it. */
const dinoOnly = {
  encoder: ({ optimizer }) => optimizer.encoder === 'frozen',
  layerDecay: ({ optimizer }) => optimizer.layerDecay !== undefined,
} satisfies Record<string, (experiment: z.infer<typeof experimentFields>) => boolean>;

export const experimentSchema = experimentFields
  .superRefine(({ segmentor, crop }, context) => {
    const message = multiResolutionFault(segmentor, crop);
    if (message) context.addIssue({ code: 'custom', path: ['crop'], message, input: crop });
  })
  .refine(
    ({ segmentor, method: { style } }) =>
      !segmentor.multiResolution || style?.kind !== 'dcan' || !style.features,
    {
      path: ['method', 'style'],
      error:
        "dcan aligns the maps of one resolution, and multiResolution has two: set the style's features to false",
    },
  )
  .superRefine((experiment, context) => {
    const { backbone, head } = experiment.segmentor;
    const refuse = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
    for (const [key, asked] of Object.entries(dinoOnly)) {
      if (asked(experiment) && !isDino(backbone)) {
        refuse(['optimizer', key], `is for the encoders of DINOv2 and DINOv3, not for ${backbone}`);
      }
    }
    if (experiment.method.featureDistance && isVit(backbone)) {
      const message = `compares an encoder with what it began as, and the maps of ${backbone} for ${head} come from layers that began at random`;
      refuse(['method', 'featureDistance'], message);
    }
  });

export type Experiment = z.infer<typeof experimentSchema>;

/** @throws Error that names each key that is wrong, its value and what is allowed. */
export function parseExperiment(value: unknown): Experiment {
  const parsed = parsedBy(experimentSchema, value);
  if (parsed.success) return parsed.data;
  throw new Error(`the experiment's configuration is not valid\n${z.prettifyError(parsed.error)}`);
}
