// Options of the contrast within a batch, as the authors' published training file has it.

import { z } from 'zod';
import { count, defaultsOf, field } from './fields.js';

export const batchContrastSchema = z.strictObject({
  weight: field(z.number().min(0), 'weight of the loss, on the source and on the mixed image', 1),
  temperature: field(z.number().gt(0), 'tau', 1),
  size: field(count, 'largest height and width that features are contrasted at', 65),
});

export type BatchContrastOptions = z.infer<typeof batchContrastSchema>;

export const publishedBatchContrast: BatchContrastOptions = defaultsOf(batchContrastSchema);
