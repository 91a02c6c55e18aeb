// Bringing the source image nearer to the target before it is learned from: which way, and its two places in the step.

import { noGrad, type Tensor } from '@pgpc/torch';
import { z } from 'zod';
import type { Segmentor, SegmentorOutput } from '../../models/segmentor.js';
import { alignChannels, alignedPass, channelStatistics } from './dcan.js';
import { fourierStyle } from './fda.js';

const fdaSchema = z.strictObject({
  kind: z.literal('fda'),
  /** Share of the shorter side up to which frequencies are exchanged, on each side of frequency 0. */
  beta: z.number().min(0).max(0.5),
});

const dcanSchema = z.strictObject({
  kind: z.literal('dcan'),
  /** Align the channels of the image. */
  image: z.boolean(),
  /** Align the channels of the encoder's four maps before the decoder, in the source's own pass. */
  features: z.boolean(),
});

export const styleSchema = z
  .discriminatedUnion('kind', [fdaSchema, dcanSchema])
  .refine((style) => style.kind !== 'dcan' || style.image || style.features, {
    error: 'dcan needs image or features to be true: else it aligns nothing',
  });

export type StyleOptions = z.infer<typeof styleSchema>;
export type StyleName = StyleOptions['kind'];

/** FDA with the smallest of the paper's three windows; DCAN at both of the paper's levels. */
export const styles = {
  fda: { kind: 'fda', beta: 0.01 },
  dcan: { kind: 'dcan', image: true, features: true },
} as const satisfies Record<StyleName, StyleOptions>;

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
