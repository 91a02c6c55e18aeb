// Two resolutions in one network, as HRDA has them: what both see, and what the loss on the detail counts.

import { z } from 'zod';
import { count, defaultsOf, field, share } from './fields.js';

/** The context image is half as large as the image on each side, so that context and detail crop have one size in HRDA. */
export const CONTEXT_SCALE = 0.5;

/** The numbers are HRDA's for crops of 1024 x 1024. */
export const multiResolutionSchema = z.strictObject({
  detailCrop: field(
    z.strictObject({ width: count, height: count }),
    'size of the detail crop in training and of the windows of inference, in pixels of the image',
    { width: 512, height: 512 },
  ),
  detailWeight: field(share, 'lambda_d: weight of the loss on the detail crop alone', 0.1),
});

export type MultiResolutionOptions = z.infer<typeof multiResolutionSchema>;

export const hrda: MultiResolutionOptions = defaultsOf(multiResolutionSchema);

/** HRDA for crops of a size: the detail crop is half as large on each side, to the next multiple of 16. */
export function multiResolutionFor(crop: { width: number; height: number }): MultiResolutionOptions {
  const half = (length: number) => Math.max(16, Math.round((length * CONTEXT_SCALE) / 16) * 16);
  return { ...hrda, detailCrop: { width: half(crop.width), height: half(crop.height) } };
}

export const multiResolutionNames = ['none', 'hrda'] as const;
export type MultiResolutionName = (typeof multiResolutionNames)[number];

/** What a choice by name adds to a network's description. */
export function chosenResolutions(
  name: MultiResolutionName,
  crop: { width: number; height: number },
): { multiResolution?: MultiResolutionOptions } {
  return name === 'none' ? {} : { multiResolution: multiResolutionFor(crop) };
}
