// Options of rare class sampling.

import { z } from 'zod';
import { defaultsOf, field, share } from './fields.js';

/**
 * DAFormer's constants as shares, so that they hold at any image size: 3000 pixels of a 1914 x 1052 label, and
 * 1500 of a 512 x 512 crop.
 */
export const rareClassSchema = z.strictObject({
  temperature: field(z.number().gt(0), 'T: the lower, the more the rarest classes are preferred', 0.01),
  minImageShare: field(
    share,
    'an image can be drawn for a class that covers more than this share of it',
    3000 / (1914 * 1052),
  ),
  minCropShare: field(
    share,
    'a crop shows the class on more than this share of it; else it is drawn again',
    1500 / (512 * 512),
  ),
});

export type RareClassOptions = z.infer<typeof rareClassSchema>;

export const daformerRareClasses: RareClassOptions = defaultsOf(rareClassSchema);
