// Random choice of pixels for all classes at once, without asking the device how many there are.

import { type Generator, rand, type Tensor } from '@pgpc/torch';

export interface Sample {
  /** (C, n), int64: positions of the chosen pixels, those that count first. */
  index: Tensor;
  /** (C, n), bool: false where a class had fewer than n candidates. */
  valid: Tensor;
}

/**
 * Draws up to n candidates of every class without replacement, uniformly.
 * @param candidates (C, P), bool: which of P pixels class c may choose.
 */
export function sampleCandidates(candidates: Tensor, n: number, generator: Generator): Sample {
  const [classes, pixels] = candidates.shape as [number, number];
  // The n largest of random keys are a uniform choice; pixels that are no candidates have a key below all others.
  const keys = rand([classes, pixels], { generator }).maskedFill_(candidates.logicalNot(), -1);
  const [key, index] = keys.topk(Math.min(n, pixels), 1) as [Tensor, Tensor];
  return { index, valid: key.ge(0) };
}
