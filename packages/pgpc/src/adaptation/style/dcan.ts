// Channel-wise alignment of the source with the target (Wu et al. 2018, DCAN, arXiv 1804.05827), without a generator.

import { noGrad, type Tensor, tidy } from '@pgpc/torch';
import type { Segmentor, SegmentorOutput } from '../../models/segmentor.js';
import { singlePrecision } from '../../pixels.js';

/** Keeps the division by a constant channel's standard deviation finite. */
const EPSILON = 1e-5;

/** Of every channel of every image, over its positions: (B, D, 1, 1) each. */
export interface ChannelStatistics {
  mean: Tensor;
  std: Tensor;
}

/**
 * In float32 at least.
 * @param map (B, D, h, w). The variance is that of all positions (divided by h w), plus 1e-5.
 */
export function channelStatistics(map: Tensor): ChannelStatistics {
  return tidy(() => {
    const x = singlePrecision(map);
    const mean = x.mean([2, 3], true);
    const variance = x.sub(mean).square().mean([2, 3], true);
    return { mean, std: variance.add(EPSILON).sqrt() };
  });
}

/**
 * The map with the wanted mean and standard deviation in every channel: (F - mean(F)) / std(F) * std + mean.
 * Gradients flow to the map, also by way of its own statistics.
 * @param map (B, D, h, w). @param wanted of as many images and channels.
 * @returns (B, D, h, w), in float32 at least.
 */
export function alignChannels(map: Tensor, wanted: ChannelStatistics): Tensor {
  return tidy(() => {
    const own = channelStatistics(map);
    return map.sub(own.mean).div(own.std).mul(wanted.std).add(wanted.mean);
  });
}

/**
 * A pass in which every stage of the encoder's maps takes on the statistics of the target image's map before the
 * decoder sees it. The encoder itself continues with its own maps. No gradient flows to the target's statistics.
 * @param image (B, 3, H, W), normalised. @param target as `image`, paired in order.
 * @returns what the segmentor's call gives; `stages` are the encoder's own, before the alignment.
 */
export function alignedPass(segmentor: Segmentor, image: Tensor, target: Tensor): SegmentorOutput {
  return tidy(() => {
    const wanted = noGrad(() => segmentor.backbone.call(target).map(channelStatistics));
    const stages = segmentor.backbone.call(image);
    const aligned = stages.map((stage, i) => alignChannels(stage, wanted[i]!));
    return { ...segmentor.decode(aligned), stages };
  });
}
