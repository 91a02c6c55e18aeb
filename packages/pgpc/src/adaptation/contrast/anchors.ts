// Anchors: the target pixels of which the teacher is most certain (eq 8).

import { alone, arange, ops, type Tensor, type World } from '@pgpc/torch';

/** H = -sum_c p_c log p_c per pixel (eq 8), in nats. @param probabilities (P, C). @returns (P). */
export function entropy(probabilities: Tensor): Tensor {
  return ops.xlogy(probabilities, probabilities).sum([1]).neg();
}

/** gamma: the `share`-quantile of the entropy over all target pixels of the batch, not class by class (eq 8). */
export function entropyThreshold(entropies: Tensor, share: number): Tensor {
  const rank = Math.max(1, Math.min(entropies.numel, Math.floor(share * entropies.numel)));
  return ops.kthvalue(entropies, rank)[0];
}

/**
 * Anchor candidates of every class: pixels whose most likely class it is and whose entropy is at most gamma (eq 8).
 * @param probabilities (P, C), the teacher's on the clean target image.
 * @param share eta, in (0, 1].
 * @param world of whose batch these are the pixels of a part.
 * @returns (C, P), bool.
 */
export function anchorCandidates(probabilities: Tensor, share: number, world: World = alone): Tensor {
  const classes = probabilities.shape[1]!;
  const h = entropy(probabilities);
  const certain = h.le(entropyThreshold(world.gather(h), share));
  const label = probabilities.argmax(1);
  return label.unsqueeze(0).eq(arange(classes).unsqueeze(1)).logicalAnd(certain);
}
