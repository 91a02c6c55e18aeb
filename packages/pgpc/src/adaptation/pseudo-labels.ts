// What the teacher says about the target image, and how much it is to be believed.

import { alone, nn, ops, type Tensor, type World } from '@pgpc/torch';

export interface PseudoLabels {
  /** (B, H, W), int64: the most likely class of every target pixel. */
  label: Tensor;
  /** (B, H, W): q at every pixel of the batch; 0 in the margins. */
  weight: Tensor;
  /** Scalar: q, the share of the batch's target pixels whose top probability reaches the threshold. */
  q: Tensor;
}

export interface PseudoLabelOptions {
  /** Least top probability of a certain pixel: 0.968 in DAFormer. */
  threshold: number;
  /** Rows of the crop with weight 0: there the target camera shows its own car or the lens's edge. */
  ignoreTop: number;
  ignoreBottom: number;
}

/**
 * Hard pseudo-labels with DAFormer's quality weight q. No pixel is discarded for its own confidence.
 * @param logits the teacher's, (B, C, h, w).
 * @param size H and W of the target image.
 * @param world the ranks that share the batch.
 */
export function pseudoLabels(
  logits: Tensor,
  size: readonly [number, number],
  { threshold, ignoreTop, ignoreBottom }: PseudoLabelOptions,
  world: World = alone,
): PseudoLabels {
  const [confidence, label] = nn.interpolate(logits, size).softmax(1).max(1) as [Tensor, Tensor];
  const q = world.mean(confidence.ge(threshold).to('float32').mean());
  const weight = ops.onesLike(confidence).mul(q);
  const [height] = size;
  if (ignoreTop > 0) weight.narrow(1, 0, Math.min(ignoreTop, height)).fill_(0);
  if (ignoreBottom > 0) {
    const rows = Math.min(ignoreBottom, height);
    weight.narrow(1, height - rows, rows).fill_(0);
  }
  return { label, weight, q };
}
