// Shapes as tuples, checked instead of cast.

import type { Tensor } from './tensor.js';

interface Dims {
  1: [number];
  2: [number, number];
  3: [number, number, number];
  4: [number, number, number, number];
  5: [number, number, number, number, number];
}

/** The sizes of all `n` dimensions of a tensor. @throws RangeError if it has more or fewer. */
export function dims<N extends keyof Dims>(x: Tensor, n: N): Dims[N] {
  if (x.ndim !== n) throw new RangeError(`expected ${n} dimensions, but the shape is [${x.shape}]`);
  return x.shape as unknown as Dims[N];
}

/** Height and width: the last two dimensions, of a map (B, C, H, W) as of labels (B, H, W). @throws RangeError if it has fewer. */
export function sizeOf(x: Tensor): [height: number, width: number] {
  if (x.ndim < 2) throw new RangeError(`expected a height and a width, but the shape is [${x.shape}]`);
  return [x.shape.at(-2)!, x.shape.at(-1)!];
}
