// Where a training's images are: its two domains, and over which classes their results are averaged.

import type { ClassMapping } from '@pgpc/datasets';
import { DATASET_FORMATS } from '@pgpc/datasets/formats';
import { z } from 'zod';
import { count } from './fields.js';

export const scaleSchema = z.strictObject({ width: count, height: count });

/** Stored numbers that are black and white. */
export const rangeSchema = z
  .tuple([z.number(), z.number()])
  .refine(([low, high]) => low < high, { error: 'the first of a range must be below the second' });

const domainSchema = z.strictObject({
  format: z.enum(DATASET_FORMATS),
  root: z.string().min(1),
  /** Images are brought to the largest size within these bounds, their ratio kept; left out: as they are. */
  scale: scaleSchema.optional(),
  /** Of images of more than 8 bits: the stored numbers that are black and white; left out: the whole scale. */
  range: rangeSchema.optional(),
});

const channel = z.number().int().min(0).max(255);

/** The run's classes, and the names of what each takes in from any data set. */
export const classMappingSchema: z.ZodType<ClassMapping, ClassMapping> = z.strictObject({
  classes: z
    .array(
      z.strictObject({
        name: z.string().min(1),
        from: z.array(z.string().min(1)),
        color: z.tuple([channel, channel, channel]).optional(),
        kind: z.enum(['thing', 'stuff']).optional(),
        labelId: channel.optional(),
      }),
    )
    .min(2),
  ignore: z.union([z.literal('rest'), z.array(z.string().min(1))]),
});

/** The two domains of a run. */
export const dataSchema = z.strictObject({
  source: domainSchema,
  target: domainSchema,
  /** What both domains' classes are brought to; left out: they have the same already. */
  classes: classMappingSchema.optional(),
  /** Numbers of Cityscapes classes over which the mean IoU is given beside that over all. */
  protocols: z.array(z.union([z.literal(16), z.literal(13)])),
});

export type DataConfig = z.infer<typeof dataSchema>;
