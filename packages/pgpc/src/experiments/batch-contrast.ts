// The contrast that the authors' published code computes in the place of the paper's: within the batch, all pixels with
// all, on the encoder's features, on the source and on the mixed image. No head, no bank, no test of certainty.

import { IGNORE_INDEX } from '@pgpc/datasets';
import { nn, ops, sizeOf, type Tensor, tidy } from '@pgpc/torch';
import { fusedStages, normalizeRows } from '../adaptation/contrast/projection-head.js';
import type { MixedPass, Part, SourcePass } from '../adaptation/parts.js';
import type { BatchContrastOptions } from '../config/batch-contrast.js';
import { pixelLabels, pixelRows, singlePrecision } from '../pixels.js';

/**
 * The mean over all pixels i that have another one of their class, of the mean over those j, of
 * -log [ exp(z_i . z_j / tau) / (exp(z_i . z_j / tau) + sum_k exp(z_i . z_k / tau)) ], with k over the pixels of other classes.
 * Gradients reach all pixels.
 * @param z (P, D), unit rows. @param label (P), int64; pixels of label 255 take no part.
 * @returns scalar, 0 where no two pixels have a class in common.
 */
export function batchContrast(z: Tensor, label: Tensor, temperature: number): Tensor {
  return tidy(() => {
    const scores = z.matmul(z.t()).div(temperature);
    const labelled = label.ne(IGNORE_INDEX);
    const both = labelled.unsqueeze(1).logicalAnd(labelled.unsqueeze(0));
    const same = label.unsqueeze(1).eq(label.unsqueeze(0));
    const self = ops.eye(label.shape[0]!, { dtype: 'bool', device: label.device });
    const positive = both.logicalAnd(same).logicalAnd(self.logicalNot()).to(scores.dtype);
    const others = both.logicalAnd(same.logicalNot());
    // Without a pixel of another class there is nothing to tell a pixel from, and its loss is 0.
    const least = scores.maskedFill(others.logicalNot(), -1e4).logsumexp([1], true);
    const perPair = ops.softplus(least.sub(scores)); // log(1 + sum_k exp(s_ik) / exp(s_ij))
    const count = positive.sum([1]);
    const perPixel = perPair.mul(positive).sum([1]).div(count.clampMin(1));
    return perPixel.sum().div(count.gt(0).sum().clampMin(1));
  });
}

/** The loss in a step, on either image. Each rank contrasts its own part of the batch. */
export class BatchContrast implements Part {
  readonly recordable = true;

  constructor(readonly options: BatchContrastOptions) {}

  sourceLoss({ label, ...pass }: SourcePass): Tensor {
    return this.#loss(pass, label);
  }

  /** Pixels without weight, such as the margins', have no pseudo-label. */
  mixedLoss({ label, weight, ...pass }: MixedPass): Tensor {
    return this.#loss(pass, label.maskedFill(weight.eq(0), IGNORE_INDEX));
  }

  #loss(pass: Pick<SourcePass, 'features' | 'stages'>, label: Tensor): Tensor {
    return tidy(() => {
      const { weight, temperature, size } = this.options;
      const resolution = sizeOf(pass.features);
      const features = fusedStages(pass.stages, resolution);
      const [height, width] = resolution;
      const small = [Math.min(height, size), Math.min(width, size)] as const;
      const rows = singlePrecision(pixelRows(nn.interpolate(features, small)));
      return batchContrast(normalizeRows(rows), pixelLabels(label, small), temperature).mul(weight);
    });
  }
}
