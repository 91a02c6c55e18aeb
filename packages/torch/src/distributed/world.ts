// The processes that train one model together, as a step sees them; one process alone is the smallest such world.

import type { Tensor } from '../tensor.js';

/**
 * Ranks 0 .. size - 1, each with an equal part of the batch, in rank order. Methods are collectives: every rank has to
 * call the same ones, in the same order, with tensors of one shape and dtype. None records gradients.
 */
export interface World {
  readonly rank: number;
  readonly size: number;
  /** The sum over the ranks. @param x numbers of any shape. */
  sum(x: Tensor): Tensor;
  /** The mean over the ranks. @param x floats of any shape. */
  mean(x: Tensor): Tensor;
  /** The tensors of all ranks, one after the other along `axis`: (.., n, ..) to (.., n size, ..). */
  gather(x: Tensor, axis?: number): Tensor;
  /** This rank's part of what all ranks have made alike: (.., n size, ..) to (.., n, ..). */
  part(x: Tensor, axis?: number): Tensor;
}

/** A process on its own: every method gives back its argument. */
export const alone: World = {
  rank: 0,
  size: 1,
  sum: (x) => x,
  mean: (x) => x,
  gather: (x) => x,
  part: (x) => x,
};
