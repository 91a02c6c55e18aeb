// Options of self-training: the teacher, its pseudo-labels and the augmentation of the mixed image.

import { z } from 'zod';
import { defaultsOf, field, share } from './fields.js';

/** The numbers are DAFormer's for a 512 x 512 crop of Cityscapes, without its margins: margins belong to the camera. */
export const selfTrainingSchema = z.strictObject({
  weight: field(z.number().min(0), 'lambda_t: multiplies q at the target pixels of the mixed image', 1),
  alpha: field(share, "upper bound of a, the teacher's decay", 0.999),
  threshold: field(share, 'top probability from which on a target pixel counts as certain', 0.968),
  ignoreTop: field(z.number().int().min(0), 'rows at the top of the crop without pseudo-label weight', 0),
  ignoreBottom: field(z.number().int().min(0), 'rows at the bottom of the crop without it', 0),
  jitterProbability: field(share, 'how often the mixed image gets colour jitter', 0.8),
  jitterStrength: field(share, 'strength of the colour jitter', 0.2),
  blurProbability: field(share, 'how often the mixed image is blurred', 0.5),
});

export type SelfTrainingOptions = z.infer<typeof selfTrainingSchema>;

export const daformerSelfTraining: SelfTrainingOptions = defaultsOf(selfTrainingSchema);
