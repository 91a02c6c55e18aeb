// The contrastive loss (eq 5).

import { alone, arange, ops, type Tensor, type World } from '@pgpc/torch';
import { AnchorList } from './anchor-list.js';

/**
 * L_c = -(1 / (C' M)) sum_c sum_m log [ exp(z_cm . z_c+ / tau) / (exp(z_cm . z_c+ / tau) + sum_n exp(z_cm . z_cn- / tau)) ]
 * (eq 5), with one set of negatives shared by a class's anchors. A class with fewer than M anchors is averaged over
 * its own; C' counts the classes that have any. Without anchors the loss is 0.
 * @param anchors (C, M, D), unit rows. @param valid (C, M), bool: which anchors are present.
 * @param positives (C, D), one a class, or (C, M, D), one an anchor: unit rows.
 * @param negatives (C, N, D), unit rows. @param temperature tau.
 * @param world the ranks that share the anchors, with the same positives and negatives on all of them. The mean of what
 * they return is the loss over all anchors.
 */
export function infoNce(
  anchors: Tensor,
  valid: Tensor,
  positives: Tensor,
  negatives: Tensor,
  temperature: number,
  world: World = alone,
): Tensor {
  const list = new AnchorList(valid);
  const z = list.rows(anchors);
  const scores = {
    positive: positiveScores(z, positives, list),
    negative: list.products(z, negatives),
  };
  return infoNceOfScores(scores, list, valid, temperature, world);
}

/** Products of the anchors with what they are drawn to and pushed from. */
export interface Scores {
  /** (A, 1): z_cm . z_c+ */
  positive: Tensor;
  /** (A, N): z_cm . z_cn-, -Infinity where there is no negative. */
  negative: Tensor;
}

/**
 * Eq 5 from the products. Other arguments as of {@link infoNce}.
 * @param valid (C, M), bool: which anchors count; all of them are on the list.
 */
export function infoNceOfScores(
  { positive, negative }: Scores,
  list: AnchorList,
  valid: Tensor,
  temperature: number,
  world: World = alone,
): Tensor {
  const scores = ops.cat([positive, negative], 1).div_(temperature);
  const loss = scores.logsumexp([1]).sub(scores.select(1, 0));
  const count = world.sum(valid.sum([1]));
  const classes = count.gt(0).sum().clampMin(1);
  const weight = list.rows(valid.to(loss.dtype).div(count.clampMin(1).unsqueeze(1)));
  return loss.mul(weight).sum().mul(world.size).div(classes);
}

/** @param z (A, D). @param positives (C, D) or (C, M, D). @returns (A, 1). */
export function positiveScores(z: Tensor, positives: Tensor, list: AnchorList): Tensor {
  const own = positives.ndim === 2 ? list.ofClass(positives) : list.rows(positives);
  return z.mul(own).sum([1], true);
}

/**
 * A set of negatives for every anchor. The anchors are multiplied with all rows of a bank, and the drawn products are taken
 * from the result. With 19 classes, 256 anchors, 512 negatives and 5000 rows these are 97 MB; the drawn rows themselves,
 * 256 numbers each, would be 2.5 GB.
 * @param z (A, D). @param rows (C, K, D). @param slots (C, M, N), int64: which rows are an anchor's negatives.
 * @returns (A, N).
 */
export function ownScores(z: Tensor, rows: Tensor, slots: Tensor, list: AnchorList): Tensor {
  return list.products(z, rows).gather(1, list.rows(slots));
}

/**
 * The other classes' prototypes as negatives.
 * @param z (A, D). @param prototypes (C, D). @param present (C), bool: the classes that have one.
 * @returns (A, C), -Infinity for the anchor's own class and for classes without prototype.
 */
export function otherClassScores(z: Tensor, prototypes: Tensor, present: Tensor, list: AnchorList): Tensor {
  const classes = arange(prototypes.shape[0]!, { device: prototypes.device });
  const own = classes.unsqueeze(0).eq(classes.unsqueeze(1));
  const none = own.logicalOr(present.logicalNot().unsqueeze(0));
  return z.matmul(prototypes.t()).maskedFill(list.ofClass(none), Number.NEGATIVE_INFINITY);
}
