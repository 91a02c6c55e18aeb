// Options of self-training: the teacher, its pseudo-labels and the augmentation of the mixed image.

import { z } from 'zod';
import { defaultsOf, field, share } from './fields.js';

const margin = (side: string) => field(z.number().min(0).lt(0.5), `of the image, at its ${side}`, 0);

/** As shares of the image's sides. */
const imageMarginsSchema = z.strictObject({
  top: margin('top'),
  bottom: margin('bottom'),
  left: margin('left'),
  right: margin('right'),
});
export type ImageMargins = z.infer<typeof imageMarginsSchema>;

/** The numbers are DAFormer's for a 512 x 512 crop of Cityscapes, without its margins: margins belong to the camera. */
export const selfTrainingSchema = z.strictObject({
  weight: field(z.number().min(0), 'lambda_t: multiplies q at the target pixels of the mixed image', 1),
  alpha: field(share, "upper bound of a, the teacher's decay", 0.999),
  threshold: field(share, 'top probability from which on a target pixel counts as certain', 0.968),
  ignoreTop: field(z.number().int().min(0), 'rows at the top of the crop without pseudo-label weight', 0),
  ignoreBottom: field(z.number().int().min(0), 'rows at the bottom of the crop without it', 0),
  imageMargins: field(
    imageMarginsSchema,
    "shares of the camera's image without pseudo-labels, wherever a crop shows them (HRDA); take the place of the rows of the crop",
  ).optional(),
  jitterProbability: field(share, 'how often the mixed image gets colour jitter', 0.8),
  jitterStrength: field(share, 'strength of the colour jitter', 0.2),
  blurProbability: field(share, 'how often the mixed image is blurred', 0.5),
});

export type SelfTrainingOptions = z.infer<typeof selfTrainingSchema>;

export const daformerSelfTraining: SelfTrainingOptions = defaultsOf(selfTrainingSchema);
