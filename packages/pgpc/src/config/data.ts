// Where a training's images are: its two domains, and over which classes their results are averaged.

import { DATASET_FORMATS } from '@pgpc/datasets/formats';
import { z } from 'zod';
import { count } from './fields.js';

export const scaleSchema = z.strictObject({ width: count, height: count });

const domainSchema = z.strictObject({
  format: z.enum(DATASET_FORMATS),
  root: z.string().min(1),
  /** Images are brought to the largest size within these bounds, their ratio kept; left out: as they are. */
  scale: scaleSchema.optional(),
});

/** The two domains of a run. */
export const dataSchema = z.strictObject({
  source: domainSchema,
  target: domainSchema,
  /** Numbers of Cityscapes classes over which the mean IoU is given beside that over all. */
  protocols: z.array(z.union([z.literal(16), z.literal(13)])),
});

export type DataConfig = z.infer<typeof dataSchema>;
