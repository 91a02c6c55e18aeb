// The segmentation loss that source and target share, and what a step reports of its losses.

import { IGNORE_INDEX } from '@pgpc/datasets';
import { nn, sizeOf, type Tensor } from '@pgpc/torch';
import { boxOf } from '../models/multi-resolution.js';
import type { SegmentorOutput } from '../models/segmentor.js';

/**
 * Cross-entropy of each pixel times its weight, averaged over **all** pixels: an ignored pixel adds 0 to the sum and 1 to
 * the count. This is DAFormer's form of L_s and L_t.
 * @param logits (B, C, h, w); resized bilinearly to the label's size.
 * @param label (B, H, W), int64 in 0 .. C - 1 or 255.
 * @param weight (B, H, W), from 0; left out for 1 everywhere.
 */
export function segmentationLoss(logits: Tensor, label: Tensor, weight?: Tensor): Tensor {
  const size = sizeOf(label);
  const perPixel = nn.crossEntropy(nn.interpolate(logits, size), label, {
    ignoreIndex: IGNORE_INDEX,
    reduction: 'none',
  });
  return weight === undefined ? perPixel.mean() : perPixel.mul(weight).mean();
}

/**
 * The loss of the student's pass. Of a network of two resolutions it is (1 - lambda_d) of the fused scores' loss and lambda_d
 * of that on the detail crop alone (HRDA, arXiv 2204.13132, section 3.2).
 * @param label (B, H, W). @param weight as `label`. @param detailWeight lambda_d.
 */
export function passLoss(
  { logits, detail }: Pick<SegmentorOutput, 'logits' | 'detail'>,
  label: Tensor,
  weight: Tensor | undefined,
  detailWeight: number,
): Tensor {
  const whole = segmentationLoss(logits, label, weight);
  if (!detail) return whole;
  const ofBox = (map: Tensor) => boxOf(map, detail.box, sizeOf(label)).contiguous();
  const alone = segmentationLoss(detail.logits, ofBox(label), weight && ofBox(weight));
  return whole.mul(1 - detailWeight).add(alone.mul(detailWeight));
}

/** Scalars on the device. Reading one waits for the device, so only the log reads them. */
export interface StepLosses {
  total: Tensor;
  source: Tensor;
  target?: Tensor;
  contrast?: Tensor;
  /** lambda_M L_M, of masked images. */
  masked?: Tensor;
  /** lambda_FD L_FD */
  featureDistance?: Tensor;
  /** q: the share of target pixels that the teacher is certain of. */
  q?: Tensor;
  /** lambda_t and lambda_c of this step, where they set themselves. */
  targetWeight?: Tensor;
  contrastWeight?: Tensor;
  /** Losses of registered parts, by their names. */
  [part: `parts.${string}`]: Tensor;
}

/** A loss times its weight. The weight is a number set by hand, or a scalar on the device. */
export function weighted(x: Tensor, weight: number | Tensor): Tensor {
  return typeof weight === 'number' ? x.mul(weight) : x.mul(weight);
}

/** The losses of the mixed image, and to each of them what the source's pass has of the same loss. */
export function withSourceLosses(
  mixed: Omit<StepLosses, 'total' | 'source'>,
  source: Readonly<Record<string, Tensor | undefined>>,
): Omit<StepLosses, 'total' | 'source'> {
  const own = Object.entries(source).filter(([name, loss]) => loss && name.startsWith('parts.'));
  const both = Object.entries(mixed).map(([name, loss]: [string, Tensor | undefined]) => {
    const other = source[name];
    return [name, loss && other ? loss.add(other) : loss];
  });
  return Object.fromEntries([...own, ...both]);
}

/** The same values without their graph. */
export function detached<T extends Record<string, Tensor | undefined>>(losses: T): T {
  return Object.fromEntries(Object.entries(losses).map(([name, value]) => [name, value?.detach()])) as T;
}
