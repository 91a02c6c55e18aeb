// The typed description of a method: DAFormer is the step without contrast, source-only the step without target.

import { z } from 'zod';
import type { ContrastOptions } from './contrast/contrast.js';

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
    anchorShare: z.number().gt(0).max(1),
    anchors: count,
    negatives: count,
    rank: count,
    bankCapacity: count,
    enqueue: count,
    prototypeQueue: count,
    temperature: z.number().gt(0),
    width: count,
    depth: count,
  })
  .refine(({ bankCapacity, enqueue }) => bankCapacity >= enqueue, {
    path: ['bankCapacity'],
    error: 'bankCapacity must be at least enqueue: a bank takes what a step adds to it whole',
  }) satisfies z.ZodType<ContrastOptions>;

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

export const methodNames = ['source-only', 'self-training', 'pgpc'] as const;
export type MethodName = (typeof methodNames)[number];

export const methodSchema = z
  .strictObject({
    /** Left out: the step trains on the source alone. */
    selfTraining: selfTrainingSchema.optional(),
    /** Left out: no pixels are contrasted. Needs `selfTraining`, whose teacher and mixed image it uses. */
    contrast: contrastSchema.optional(),
  })
  .refine((method) => !method.contrast || method.selfTraining, {
    error: 'contrast needs selfTraining: its anchors and negatives come from the teacher and the mixed image',
  });

export type MethodConfig = z.infer<typeof methodSchema>;

/** The three methods of the paper's tables, as compositions of the same parts. */
export function methodConfig(
  name: MethodName,
  selfTraining: SelfTrainingOptions = daformerSelfTraining,
  contrast: ContrastOptions = pgpcContrast,
): MethodConfig {
  if (name === 'source-only') return {};
  return name === 'self-training' ? { selfTraining } : { selfTraining, contrast };
}
