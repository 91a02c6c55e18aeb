// The typed description of a method: DAFormer is the step without contrast, source-only the step without target.

import { z } from 'zod';
import { type DenoiseOptions, denoiseSchema } from '../adaptation/denoise/denoise.js';
import type { FeatureDistanceOptions } from '../adaptation/feature-distance.js';
import { type StyleOptions, styleSchema } from '../adaptation/style/style.js';
import { type WeightingOptions, weightingSchema } from '../experiments/loss-weights.js';
import {
  anchorSelections,
  anchorViews,
  type ContrastOptions,
  contrastDefaults,
  contrastTypes,
  domainChoices,
  prototypeKinds,
} from './contrast.js';

const share = z.number().min(0).max(1);
const count = z.number().int().min(1);

/** The self-training part: what is done with the target images. */
export const selfTrainingSchema = z.strictObject({
  /** lambda_t: multiplies the pseudo-label weight q. */
  weight: z.number().min(0),
  /** Upper bound of the teacher's decay. */
  alpha: share,
  /** Top probability from which on a target pixel counts as certain. */
  threshold: share,
  /** Rows of the crop without pseudo-label weight. */
  ignoreTop: z.number().int().min(0),
  ignoreBottom: z.number().int().min(0),
  jitterProbability: share,
  jitterStrength: share,
  blurProbability: share,
});

export type SelfTrainingOptions = z.infer<typeof selfTrainingSchema>;

export const contrastSchema = z
  .strictObject({
    weight: z.number().min(0),
    warmup: share,
    type: z.enum(contrastTypes).optional(),
    anchorSelection: z.enum(anchorSelections).optional(),
    anchorShare: z.number().gt(0).max(1),
    anchorShareEnd: z.number().gt(0).max(1).optional(),
    anchorThreshold: share.optional(),
    anchorView: z.enum(anchorViews).optional(),
    anchors: count,
    negatives: count,
    perAnchorNegatives: z.boolean().optional(),
    negativeDomains: z.enum(domainChoices).optional(),
    rank: count,
    hardSource: z.boolean().optional(),
    bankCapacity: count,
    enqueue: count,
    prototypeDomains: z.enum(domainChoices).optional(),
    prototypeKind: z.enum(prototypeKinds).optional(),
    prototypeQueue: count,
    prototypeMomentum: z.number().min(0).lt(1).optional(),
    temperature: z.number().gt(0),
    width: count,
    depth: count,
  })
  .refine(({ bankCapacity, enqueue }) => bankCapacity >= enqueue, {
    path: ['bankCapacity'],
    error: 'bankCapacity must be at least enqueue: a bank takes what a step adds to it whole',
  }) satisfies z.ZodType<ContrastOptions>;

export const featureDistanceSchema = z.strictObject({
  weight: z.number().min(0),
  classes: z.array(z.number().int().min(0).max(254)).min(1),
  minShare: z.number().gt(0.5).max(1),
}) satisfies z.ZodType<FeatureDistanceOptions>;

/** DAFormer's numbers for the classes of Cityscapes: traffic light and sign, and all that moves. */
export const daformerFeatureDistance = {
  weight: 0.005,
  classes: [6, 7, 11, 12, 13, 14, 15, 16, 17, 18],
  minShare: 0.75,
} satisfies FeatureDistanceOptions;

/** DAFormer's numbers for a 512 x 512 crop of Cityscapes, without its margins, which belong to the camera. */
export const daformerSelfTraining: SelfTrainingOptions = {
  weight: 1,
  alpha: 0.999,
  threshold: 0.968,
  ignoreTop: 0,
  ignoreBottom: 0,
  jitterProbability: 0.8,
  jitterStrength: 0.2,
  blurProbability: 0.5,
};

/** The paper's numbers, and ours where it is silent (METHOD says which). */
export const pgpcContrast: ContrastOptions = {
  ...contrastDefaults,
  weight: 0.1,
  warmup: 0.5,
  anchorShare: 0.2,
  anchors: 256,
  negatives: 512,
  rank: 4,
  bankCapacity: 5000,
  enqueue: 64,
  prototypeQueue: 100,
  temperature: 0.5,
  width: 256,
  depth: 2,
};

/** From no adaptation to all of it. */
export type MethodName = 'source-only' | 'self-training' | 'daformer' | 'pgpc';

export const methodSchema = z
  .strictObject({
    /** Left out: the step trains on the source alone. */
    selfTraining: selfTrainingSchema.optional(),
    /** Left out: no pixels are contrasted. Needs `selfTraining`, whose teacher and mixed image it uses. */
    contrast: contrastSchema.optional(),
    /** Left out: the encoder may forget what ImageNet taught it. Needs an encoder that was taught by it. */
    featureDistance: featureDistanceSchema.optional(),
    /** Left out: the source is learned from as it is. Goes with every method; its target images are never labelled. */
    style: styleSchema.optional(),
    /** Left out: the teacher is taken at its word. Needs `selfTraining`, whose teacher it corrects. */
    denoise: denoiseSchema.optional(),
    /** Left out: lambda_t and lambda_c keep the weights of `selfTraining` and `contrast`, else they start from them. */
    weighting: weightingSchema.optional(),
  })
  .refine((method) => !method.contrast || method.selfTraining, {
    error: 'contrast needs selfTraining: its anchors and negatives come from the teacher and the mixed image',
  })
  .refine((method) => !method.denoise || method.selfTraining, {
    error: 'denoise needs selfTraining: without a teacher there is nothing to clean',
  })
  .refine((method) => method.denoise?.where !== 'contrast' || method.contrast, {
    path: ['denoise', 'where'],
    error: 'denoise for the contrast alone needs contrast',
  })
  .refine((method) => !method.weighting || method.selfTraining, {
    error: 'weighting needs selfTraining: with L_s alone there is nothing to weigh',
  })
  .refine(
    ({ weighting, selfTraining, contrast }) =>
      !weighting || (selfTraining?.weight !== 0 && contrast?.weight !== 0),
    {
      path: ['weighting'],
      error: 'weighting starts from selfTraining.weight and contrast.weight, which must then be above 0',
    },
  );

export type MethodConfig = z.infer<typeof methodSchema>;

/** Whether a step needs target images beside the source. */
export function usesTarget({ selfTraining, style }: MethodConfig): boolean {
  return selfTraining !== undefined || style !== undefined;
}

/** What the named methods are made of; a part left out has the papers' numbers. */
export interface MethodParts {
  selfTraining?: SelfTrainingOptions;
  contrast?: ContrastOptions;
  /** `false` where the encoder starts from random values: then there is nothing to keep. */
  featureDistance?: z.infer<typeof featureDistanceSchema> | false;
  /** Left out: none. */
  style?: StyleOptions;
  /** Left out: none. Of no use to `source-only`. */
  denoise?: DenoiseOptions;
  /** Left out: fixed weights. Of no use to `source-only`. */
  weighting?: WeightingOptions;
}

/**
 * The methods of the paper's tables, as compositions of the same parts: self-training adds the target to source-only,
 * DAFormer the feature distance to that, and PGPC the contrast.
 */
export function methodConfig(name: MethodName, parts: MethodParts = {}): MethodConfig {
  const { selfTraining = daformerSelfTraining, contrast = pgpcContrast } = parts;
  const { featureDistance = daformerFeatureDistance } = parts;
  const style = parts.style && { style: parts.style };
  const denoise = parts.denoise && { denoise: parts.denoise };
  const weighting = parts.weighting && { weighting: parts.weighting };
  if (name === 'source-only') return { ...style };
  if (name === 'self-training') return { selfTraining, ...style, ...denoise, ...weighting };
  const daformer = {
    selfTraining,
    ...(featureDistance && { featureDistance }),
    ...style,
    ...denoise,
    ...weighting,
  };
  return name === 'daformer' ? daformer : { ...daformer, contrast };
}
