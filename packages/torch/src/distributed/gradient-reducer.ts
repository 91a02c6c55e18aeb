// Gradients averaged over the ranks while the backward pass is still under way.

import { ops } from '../ops.js';
import { type Tensor, tidy } from '../tensor.js';
import type { ProcessGroup } from './process-group.js';

/** Bytes of gradients that travel together: torch.distributed's default. */
const BUCKET_BYTES = 25 * 2 ** 20;

/**
 * c10d's Reducer (Li et al. 2020, "PyTorch Distributed", section 4.2): parameters in buckets, in the order in which
 * backward reaches them; a bucket is all-reduced as soon as its last gradient is there.
 *
 * A backward pass that was not prepared only accumulates. The next prepared one averages what has accumulated, its
 * own gradients included, so that several losses of a step cost one exchange. A parameter that no pass has reached
 * since then on any rank keeps no gradient.
 */
export class GradientReducer {
  readonly #index: number;
  readonly #parameters: readonly Tensor[];
  #disposed = false;

  /**
   * @param parameters leaves that require gradients, the same ones in the same order on every rank.
   * @param bucketBytes size of a bucket, at least.
   */
  constructor(
    readonly group: ProcessGroup,
    parameters: readonly Tensor[],
    bucketBytes = BUCKET_BYTES,
  ) {
    this.#index = ops.call('pgpc::make_reducer', parameters, bucketBytes) as number;
    this.#parameters = [...parameters];
  }

  /** Makes the next backward pass, which starts from `loss`, leave the mean over the ranks in every `grad`. */
  prepare(loss: Tensor): void {
    ops.call('pgpc::prepare_reducer', this.#index, loss);
  }

  /**
   * Averages what has accumulated, after the last backward pass: for steps whose graph is not whole in any of their
   * passes, where `prepare` would take parameters for unused. The exchange begins only here.
   * @throws TorchError if no parameter of this rank has a gradient.
   */
  average(): void {
    tidy(() => {
      // One more pass, in which every gradient there is grows by 0.
      const reached = this.#parameters.filter(({ grad }) => grad !== null);
      const nothing = ops
        .stack(reached.map((parameter) => parameter.sum()))
        .sum()
        .mul(0);
      this.prepare(nothing);
      nothing.backward();
    });
  }

  dispose(): void {
    if (!this.#disposed) ops.call('pgpc::free_reducer', this.#index);
    this.#disposed = true;
  }
}
