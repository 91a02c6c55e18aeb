// The contrastive loss (eq 5).

import { alone, ops, type Tensor, type World } from '@pgpc/torch';

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
  const positive = anchors.mul(positives.ndim === 2 ? positives.unsqueeze(1) : positives).sum([2], true);
  const negative = anchors.bmm(negatives.transpose(1, 2));
  const scores = ops.cat([positive, negative], 2).div(temperature);
  const loss = scores.logsumexp([2]).sub(scores.select(2, 0));
  const count = world.sum(valid.sum([1]));
  const perClass = ops.where(valid, loss, ops.zerosLike(loss)).sum([1]).div(count.clampMin(1));
  return perClass.sum().mul(world.size).div(count.gt(0).sum().clampMin(1));
}
