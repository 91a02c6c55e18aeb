// Denoising by agreement: the teacher looks at several views of the target image, and is trusted where they agree.

import { nn, ops, sizeOf, type Tensor, tidy } from '@pgpc/torch';
import type { AgreementOptions } from '../config/denoise.js';

/** Every encoder's strides divide it. */
const STRIDE = 32;

/**
 * Log-probabilities of every view, the image as it is first, all brought to the first one's pixels.
 * @param logits (B, C, h, w), of the image as it is. @param image (B, 3, H, W), normalised.
 * @param predict the teacher: an image to logits. Batch norm counts every view as a batch in its running statistics,
 *   which the step does not use.
 * @returns (B, C, h, w) each.
 */
export function viewsOf(
  logits: Tensor,
  image: Tensor,
  predict: (image: Tensor) => Tensor,
  { flip, scales }: Pick<AgreementOptions, 'flip' | 'scales'>,
): Tensor[] {
  return tidy(() => {
    const [height, width] = sizeOf(image);
    const size = sizeOf(logits);
    const side = (length: number, scale: number) =>
      Math.max(STRIDE, Math.round((length * scale) / STRIDE) * STRIDE);
    const mirrored = flip ? [predict(image.flip([3])).flip([3])] : [];
    const scaled = scales.map((scale) =>
      nn.interpolate(predict(nn.interpolate(image, [side(height, scale), side(width, scale)])), size),
    );
    return [logits, ...mirrored, ...scaled].map((view) => view.logSoftmax(1));
  });
}

/**
 * What the views say together, and how far they agree: trust = exp(-D), D = KL(p || p_v) averaged over the further
 * views. It is the weight exp(-D_kl) of Zheng & Yang 2020, arXiv 2003.03773, with a view of the teacher in place of
 * their second classifier. Their term that keeps D_kl small is left out: here no network learns from D_kl.
 * @param views (B, C, h, w) log-probabilities, two or more, the one of the image as it is first.
 * @returns logits (B, C, h, w), the log of the mean probabilities; trust (B, h, w) in 0 .. 1.
 */
export function agreement(views: readonly Tensor[]): { logits: Tensor; trust: Tensor } {
  return tidy(() => {
    const [own, ...further] = views as [Tensor, ...Tensor[]];
    const mean = ops.logsumexp(ops.stack([...views]), [0]).sub(Math.log(views.length));
    const p = own.exp();
    const divergence = further
      .map((view) => p.mul(own.sub(view)).sum([1]))
      .reduce((total, one) => total.add(one))
      .div(further.length);
    // Rounding may leave a divergence below 0.
    return { logits: mean, trust: divergence.clampMin(0).neg().exp() };
  });
}
