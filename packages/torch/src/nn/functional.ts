// Functions that networks and losses share and that need more than one operator's arguments spelled out.

import { isHalf } from '../dtype.js';
import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';

export interface InterpolateOptions {
  /** Whether the corner pixels' centres of input and output coincide, rather than the corners of the images. */
  alignCorners?: boolean;
}

/** Resizes (B, D, H, W) bilinearly to (B, D, ...size). */
export function interpolate(
  x: Tensor,
  size: readonly [height: number, width: number],
  { alignCorners = false }: InterpolateOptions = {},
): Tensor {
  const wide = (map: Tensor) => ops.upsampleBilinear2d(map, size, alignCorners);
  // On the CPU libtorch takes several times as long for 16 bits as for 32, above all backward.
  return isHalf(x.dtype) && x.device === 'cpu' ? wide(x.to('float32')).to(x.dtype) : wide(x);
}

export interface CrossEntropyOptions {
  /** The target value of pixels that have no class: their loss is 0 and they do not count in the mean. */
  ignoreIndex?: number;
  /** `mean` divides by the number (with `weight`: the summed weights) of the pixels that are not ignored. */
  reduction?: Reduction;
  /** (C), a factor for each class */
  weight?: Tensor | null;
}

/** How per-pixel losses become one number, or, with `none`, that they do not. */
export type Reduction = 'none' | 'mean' | 'sum';

// The numbers of libtorch's enum at::Reduction.
const REDUCTIONS: Readonly<Record<Reduction, number>> = { none: 0, mean: 1, sum: 2 };

/**
 * Cross entropy of the softmax over axis 1.
 * @param logits (B, C, H, W), or (B, C)
 * @param target (B, H, W), or (B): int64 classes 0 ... C-1, or `ignoreIndex`
 * @returns a scalar, or with reduction `none` the losses in the target's shape; NaN for a mean over no pixel
 * @throws TorchError if shapes do not agree or a target is out of range
 */
export function crossEntropy(logits: Tensor, target: Tensor, options: CrossEntropyOptions = {}): Tensor {
  const { ignoreIndex = 255, reduction = 'mean', weight = null } = options;
  return ops.crossEntropyLoss(logits, target, weight, REDUCTIONS[reduction], ignoreIndex);
}
