// Where the 16-bit values that networks give under autocast become single precision again.

import type { Tensor } from '@pgpc/torch';

/**
 * Halves and bfloat16s as float32, for arithmetic that their 8 to 11 significant bits are too few for: distances, unit
 * lengths, sums over a batch. Wider values are given back as they are. Gradients flow back in the input's own dtype.
 */
export function singlePrecision(x: Tensor): Tensor {
  return x.dtype === 'bfloat16' || x.dtype === 'float16' ? x.to('float32') : x;
}
