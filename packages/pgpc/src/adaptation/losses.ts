// The segmentation loss that source and target share.

import { IGNORE_INDEX } from '@pgpc/datasets';
import { nn, sizeOf, type Tensor } from '@pgpc/torch';

/**
 * Cross-entropy per pixel, times the pixel's weight, averaged over **all** pixels: ignored ones add 0 to the sum and
 * 1 to the count (DAFormer's form; METHOD: L_s, L_t).
 * @param logits (N, C, h, w); resized bilinearly to the label's size.
 * @param label (N, H, W), int64 in 0 .. C - 1 or 255.
 * @param weight (N, H, W), from 0; left out for 1 everywhere.
 */
export function segmentationLoss(logits: Tensor, label: Tensor, weight?: Tensor): Tensor {
  const size = sizeOf(label);
  const perPixel = nn.crossEntropy(nn.interpolate(logits, size), label, {
    ignoreIndex: IGNORE_INDEX,
    reduction: 'none',
  });
  return weight === undefined ? perPixel.mean() : perPixel.mul(weight).mean();
}
