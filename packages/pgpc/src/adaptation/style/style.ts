// Brings the source nearer to the target before the student learns from it: the styles, and their two places in the step.

import { noGrad, type Tensor } from '@pgpc/torch';
import type { StyleOptions } from '../../config/style.js';
import type { Segmentor, SegmentorOutput } from '../../models/segmentor.js';
import { alignChannels, alignedPass, channelStatistics } from './dcan.js';
import { fourierStyle } from './fda.js';

/**
 * The source batch in the target batch's style, image by image in their order; no gradient.
 * @param source (B, 3, H, W), normalised; so is the result. @param target as `source`.
 */
export function styledImage(source: Tensor, target: Tensor, style: StyleOptions): Tensor {
  return noGrad(() => {
    if (style.kind === 'fda') return fourierStyle(source, target, style.beta);
    return style.image ? alignChannels(source, channelStatistics(target)) : source;
  });
}

/** The student's pass over the source batch. @param target (B, 3, H, W), whose style the source takes on. */
export function styledPass(
  segmentor: Segmentor,
  image: Tensor,
  target: Tensor,
  style: StyleOptions,
): SegmentorOutput {
  const aligned = style.kind === 'dcan' && style.features;
  return aligned ? alignedPass(segmentor, image, target) : segmentor.call(image);
}
