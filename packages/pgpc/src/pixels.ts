// Maps of pixels as rows and labels at another resolution, and what is computed of a pixel's probabilities.

import { ops, type Tensor } from '@pgpc/torch';

/** Features at the decoder's resolution as a list of pixels: (B, D, h, w) to (P, D), P = B h w. */
export function pixelRows(map: Tensor): Tensor {
  return map.permute([0, 2, 3, 1]).reshape([-1, map.shape[1]!]);
}

/** A map or mask at the decoder's resolution, by nearest neighbour: (B, H, W) to (B, h, w), float32. */
export function nearest(map: Tensor, size: readonly [number, number]): Tensor {
  return ops.upsampleNearest2d(map.unsqueeze(1).to('float32'), size).squeeze(1);
}

/** A label map or mask as a list of pixels at the decoder's resolution: (B, H, W) to (P). */
export function pixelLabels(label: Tensor, size: readonly [number, number]): Tensor {
  return nearest(label, size).flatten().to(label.dtype);
}

/**
 * Halves and bfloat16s as float32, for arithmetic that their 8 to 11 significant bits are too few for: distances, unit
 * lengths, sums over a batch. Wider values are given back as they are. Gradients flow back in the input's own dtype.
 */
export function singlePrecision(x: Tensor): Tensor {
  return x.dtype === 'bfloat16' || x.dtype === 'float16' ? x.to('float32') : x;
}

/** H = -sum_c p_c log p_c per pixel (eq 8), in nats. @param probabilities (P, C). @returns (P). */
export function entropy(probabilities: Tensor): Tensor {
  return ops.xlogy(probabilities, probabilities).sum([1]).neg();
}
