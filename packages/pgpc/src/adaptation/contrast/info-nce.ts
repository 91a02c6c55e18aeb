// The contrastive loss (eq 5).

import { alone, arange, ops, type Tensor, type World } from '@pgpc/torch';

/**
 * L_c = -(1 / (C' M)) sum_c sum_m log [ exp(z_cm . z_c+ / tau) / (exp(z_cm . z_c+ / tau) + sum_n exp(z_cm . z_cn- / tau)) ]
 * (eq 5), with one set of negatives shared by a class's anchors. A class with fewer than M anchors is averaged over
 * those it has; C' counts the classes that have any. Without anchors the loss is 0.
 * @param anchors (C, M, D), unit rows. @param valid (C, M), bool: which anchors are there.
 * @param positives (C, D), one a class, or (C, M, D), one an anchor: unit rows.
 * @param negatives (C, N, D), unit rows. @param temperature tau.
 * @param world whose anchors these are a part of, with the same positives and negatives on all ranks: the mean over the
 * ranks of what is returned is the loss over all anchors.
 */
export function infoNce(
  anchors: Tensor,
  valid: Tensor,
  positives: Tensor,
  negatives: Tensor,
  temperature: number,
  world: World = alone,
): Tensor {
  const scores = { positive: positiveScores(anchors, positives), negative: sharedScores(anchors, negatives) };
  return infoNceOfScores(scores, valid, temperature, world);
}

/** Products of the anchors with what they are drawn to and pushed from. */
export interface Scores {
  /** (C, M, 1): z_cm . z_c+ */
  positive: Tensor;
  /** (C, M, N): z_cm . z_cn-, -Infinity where there is no negative. */
  negative: Tensor;
}

/** Eq 5 of the products, whoever made them. Other arguments as of {@link infoNce}. */
export function infoNceOfScores(
  { positive, negative }: Scores,
  valid: Tensor,
  temperature: number,
  world: World = alone,
): Tensor {
  const scores = ops.cat([positive, negative], 2).div_(temperature);
  const loss = scores.logsumexp([2]).sub(scores.select(2, 0));
  const count = world.sum(valid.sum([1]));
  const perClass = ops.where(valid, loss, ops.zerosLike(loss)).sum([1]).div(count.clampMin(1));
  return perClass.sum().mul(world.size).div(count.gt(0).sum().clampMin(1));
}

/** @param anchors (C, M, D). @param positives (C, D) or (C, M, D). @returns (C, M, 1). */
export function positiveScores(anchors: Tensor, positives: Tensor): Tensor {
  return anchors.mul(positives.ndim === 2 ? positives.unsqueeze(1) : positives).sum([2], true);
}

/** One set of negatives for all anchors of a class. @param negatives (C, N, D). @returns (C, M, N). */
export function sharedScores(anchors: Tensor, negatives: Tensor): Tensor {
  return anchors.bmm(negatives.transpose(1, 2));
}

/**
 * A set of negatives for every anchor. All rows of a bank are multiplied with the anchors and the drawn products taken
 * from that: with 19 classes, 256 anchors, 512 negatives and 5000 rows 97 MB, where the rows themselves, 256 numbers
 * each, would be 2.5 GB.
 * @param rows (C, K, D). @param slots (C, M, N), int64: which rows are an anchor's negatives. @returns (C, M, N).
 */
export function ownScores(anchors: Tensor, rows: Tensor, slots: Tensor): Tensor {
  return sharedScores(anchors, rows).gather(2, slots);
}

/**
 * The other classes' prototypes as negatives.
 * @param prototypes (C, D). @param present (C), bool: the classes that have one.
 * @returns (C, M, C), -Infinity for the anchor's own class and for classes without prototype.
 */
export function otherClassScores(anchors: Tensor, prototypes: Tensor, present: Tensor): Tensor {
  const classes = arange(prototypes.shape[0]!, { device: prototypes.device });
  const own = classes.unsqueeze(0).eq(classes.unsqueeze(1));
  const none = own.logicalOr(present.logicalNot().unsqueeze(0)).unsqueeze(1);
  return anchors.matmul(prototypes.t()).maskedFill(none, Number.NEGATIVE_INFINITY);
}
