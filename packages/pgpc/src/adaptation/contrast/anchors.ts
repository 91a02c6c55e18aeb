// Anchors: the target pixels that the teacher is most certain of (eq 8), and the paper's alternatives.

import { alone, ops, type Tensor, type World } from '@pgpc/torch';
import type { AnchorSelection, ContrastSettings } from '../../config/contrast.js';
import { entropy } from '../../pixels.js';
import { classMembers } from './positives.js';

/** gamma: the `share`-quantile of the entropy over all target pixels of the batch, not class by class (eq 8). */
export function entropyThreshold(entropies: Tensor, share: number): Tensor {
  const rank = Math.max(1, Math.min(entropies.numel, Math.floor(share * entropies.numel)));
  return ops.kthvalue(entropies, rank)[0];
}

/**
 * Anchor candidates of class c: pixels with c as most likely class and an entropy of at most gamma (eq 8).
 * @param probabilities (P, C), the teacher's on the clean target image.
 * @param share eta, in (0, 1].
 * @param world the ranks that share the batch.
 * @returns (C, P), bool.
 */
export function anchorCandidates(probabilities: Tensor, share: number, world: World = alone): Tensor {
  const h = entropy(probabilities);
  return ofMostLikelyClass(probabilities, h.le(entropyThreshold(world.gather(h), share)));
}

/** Which of the `pixels` (P), bool, have c as their most likely class: (C, P), bool. */
function ofMostLikelyClass(probabilities: Tensor, pixels: Tensor): Tensor {
  return classMembers(probabilities.argmax(1), probabilities.shape[1]!).logicalAnd(pixels);
}

/**
 * The `share`-quantile of every class's own pixels: of n pixels the floor(share n)-th smallest value, but at least the
 * first.
 * @param values (P). @param label (P), int64 in 0 .. C - 1.
 * @returns (C); for a class without pixels, some value of another class.
 */
export function classQuantiles(values: Tensor, label: Tensor, classes: number, share: number): Tensor {
  // Sorted by value, then stably by class: each class's values lie side by side, rising.
  const byValue = values.argsort();
  const byClass = label.index([byValue]).argsort({ stable: true });
  const sorted = values.index([byValue.index([byClass])]);
  const count = classMembers(label, classes).sum([1]);
  const start = count.cumsum(0).sub(count);
  const rank = count.to('float64').mul(share).floor().to('int64').clampMin(1);
  return sorted.index([
    start
      .add(rank)
      .sub(1)
      .clampMax(values.numel - 1),
  ]);
}

/** The options of a selection; `anchorShare` is eta at this point of the run. */
export type AnchorRule = Pick<ContrastSettings, 'anchorSelection' | 'anchorShare' | 'anchorThreshold'>;

type Selection = (probabilities: Tensor, rule: AnchorRule, world: World) => Tensor;

/** The `share` of the pixels of every class, as predicted, that have its lowest values; `values` is (P). */
function lowestOfClass(values: Tensor, probabilities: Tensor, share: number, world: World): Tensor {
  const label = probabilities.argmax(1);
  const classes = probabilities.shape[1]!;
  const quantiles = classQuantiles(world.gather(values), world.gather(label), classes, share);
  return ofMostLikelyClass(probabilities, values.le(quantiles.index([label])));
}

/** Anchor candidates, (P, C) to (C, P), by eq 8 and by what the paper compares it with. */
const selections: Readonly<Record<AnchorSelection, Selection>> = {
  'global-entropy': (probabilities, { anchorShare }, world) =>
    anchorCandidates(probabilities, anchorShare, world),
  'class-entropy': (probabilities, { anchorShare }, world) =>
    lowestOfClass(entropy(probabilities), probabilities, anchorShare, world),
  'class-confidence': (probabilities, { anchorShare }, world) =>
    lowestOfClass(probabilities.amax([1]).neg(), probabilities, anchorShare, world),
  threshold: (probabilities, { anchorThreshold }) =>
    ofMostLikelyClass(probabilities, probabilities.amax([1]).ge(anchorThreshold)),
  // Any pixel will do, so the draw from the candidates is all there is to it.
  random: (probabilities) => ofMostLikelyClass(probabilities, probabilities.select(1, 0).ge(0)),
};

/** Anchor candidates of every class by the selection of the rule. Shapes as in {@link anchorCandidates}. */
export function selectAnchors(probabilities: Tensor, rule: AnchorRule, world: World = alone): Tensor {
  return selections[rule.anchorSelection](probabilities, rule, world);
}

/** eta at a point of the run, linear from `anchorShare` to `anchorShareEnd`. @param progress in [0, 1]. */
export function anchorShareAt(
  { anchorShare, anchorShareEnd }: Pick<ContrastSettings, 'anchorShare' | 'anchorShareEnd'>,
  progress: number,
): number {
  return anchorShare + (anchorShareEnd - anchorShare) * progress;
}
