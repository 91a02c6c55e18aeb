// ProDA's denoising: a pixel's distances to the classes' prototypes correct what the teacher says of it.

import { alone, nn, noGrad, ops, type Tensor, tidy, type World, zeros } from '@pgpc/torch';
import type { PrototypeDenoiseOptions } from '../../config/denoise.js';
import { classCentres } from '../contrast/positives.js';
import { normalizeRows } from '../contrast/projection-head.js';

/**
 * The running mean feature of every class of the target, and the weights that follow from the distances to them (Zhang
 * et al. 2021, arXiv 2101.10979, eq 4 to 6). Part of a checkpoint through its buffers.
 */
export class ClassPrototypes extends nn.StateModule {
  /** (C, D), eta: means of unit vectors, so at most of length 1; zeros for a class not seen yet. */
  readonly centres: Tensor;
  /** (C), int64: batches in which the class has been predicted. */
  readonly batches: Tensor;

  /** @param width D, channels of the decoder's features. @param world the ranks that share each batch. */
  constructor(
    readonly classes: number,
    width: number,
    readonly options: Pick<PrototypeDenoiseOptions, 'temperature' | 'momentum'>,
    readonly world: World = alone,
  ) {
    super();
    this.centres = this.buffer(zeros([classes, width]));
    this.batches = this.buffer(zeros([classes], { dtype: 'int64' }));
  }

  /**
   * eta_k <- lambda eta_k + (1 - lambda) eta'_k, eta'_k the mean over the batch's pixels of class k (eq 6). The n-th
   * batch with the class enters with 1 / n at least. The paper's first prototypes come from a pass over all target images;
   * ours are the plain mean of the first batches.
   * @param features (P, D), the teacher's, of any length. @param label (P), int64, the classes that it predicts.
   */
  update(features: Tensor, label: Tensor): void {
    noGrad(() =>
      tidy(() => {
        const { centre, present } = classCentres(normalizeRows(features), label, this.classes, this.world);
        this.batches.add_(present);
        const kept = this.batches.clampMin(1).reciprocal().neg().add(1).clampMax(this.options.momentum);
        const moved = ops.lerp(centre, this.centres, kept.unsqueeze(1));
        this.centres.copy_(ops.where(present.unsqueeze(1), moved, this.centres));
      }),
    );
  }

  /**
   * log omega, omega_k = softmax_k(-|f - eta_k| / tau) over the classes seen so far (eq 5). A class that was never
   * predicted has no prototype. Its weight is the mean of the others', which neither favours it nor rules it out.
   * @param features (P, D), of any length. @returns (P, C).
   */
  logWeights(features: Tensor): Tensor {
    return tidy(() => {
      // Unit length: the features' scale depends on the network and grows in training, but tau is to mean the same.
      const f = normalizeRows(features);
      const squared = f
        .square()
        .sum([1], { keepdim: true })
        .add(this.centres.square().sum([1]))
        .sub(f.matmul(this.centres.t()).mul(2));
      const seen = this.batches.gt(0);
      const scores = squared.clampMin(0).sqrt().div(-this.options.temperature);
      const weights = scores.maskedFill(seen.logicalNot(), Number.NEGATIVE_INFINITY).logSoftmax(1);
      return ops.where(seen, weights, seen.sum().clampMin(1).log().neg());
    });
  }
}
