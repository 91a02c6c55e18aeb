// Bringing the source image nearer to the target before it is learned from: which way, and its two places in the step.

import { noGrad, type Tensor } from '@pgpc/torch';
import type { StyleOptions } from '../../config/style.js';
import type { Segmentor, SegmentorOutput } from '../../models/segmentor.js';
import { alignChannels, alignedPass, channelStatistics } from './dcan.js';
import { fourierStyle } from './fda.js';

/**
 * The source batch in the target batch's style, image by image in their order; no gradient.
 * @param source (N, 3, H, W), normalised; so is the result. @param target as `source`.
 */
export function styledImage(source: Tensor, target: Tensor, style: StyleOptions): Tensor {
  return noGrad(() => {
    if (style.kind === 'fda') return fourierStyle(source, target, style.beta);
    return style.image ? alignChannels(source, channelStatistics(target)) : source;
  });
}

/** The student's pass over the source batch. @param target (N, 3, H, W), the images that the source takes on. */
export function styledPass(
  segmentor: Segmentor,
  image: Tensor,
  target: Tensor,
  style: StyleOptions,
): SegmentorOutput {
  const aligned = style.kind === 'dcan' && style.features;
  return aligned ? alignedPass(segmentor, image, target) : segmentor.call(image);
}
