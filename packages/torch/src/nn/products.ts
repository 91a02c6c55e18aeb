// What a layer's product reads as its weight: the weight, or under autocast the copy that was made of it beforehand.

import { autocastDtype } from '../autocast.js';
import type { Tensor } from '../tensor.js';

/** 16-bit copies by weight, see `CastWeights`. */
export const copies = new WeakMap<Tensor, Tensor>();

/** The weight, or its copy where a product under autocast would cast it to just that. */
export function forProduct<T extends Tensor | null>(weight: T): T {
  const copy = weight && copies.get(weight);
  return copy && copy.dtype === autocastDtype() ? (copy as T) : weight;
}
