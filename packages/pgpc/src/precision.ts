// What networks compute in, and where the 16-bit values that they give under autocast become single precision again.

// Types alone: the command line's help reads the list, and must not wait for libtorch.
import type { Tensor } from '@pgpc/torch';

/** What the products of networks can be computed in. */
export const precisions = ['float32', 'bfloat16'] as const;
export type Precision = (typeof precisions)[number];

/**
 * Halves and bfloat16s as float32, for arithmetic that their 8 to 11 significant bits are too few for: distances, unit
 * lengths, sums over a batch. Wider values are given back as they are. Gradients flow back in the input's own dtype.
 */
export function singlePrecision(x: Tensor): Tensor {
  return x.dtype === 'bfloat16' || x.dtype === 'float16' ? x.to('float32') : x;
}
