// Adam with decoupled weight decay.

import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { Optimizer, type OptimizerGroup, type ParameterGroup, type Update } from './optimizer.js';

export interface AdamWOptions {
  /** Learning rate of the groups that have none of their own. */
  lr?: number;
  /** Decay rates of the running means of the gradient and of its square. */
  betas?: readonly [number, number];
  /** Added to the root of the mean square. */
  eps?: number;
  /** Share of a parameter that is taken off per step, times the learning rate. */
  weightDecay?: number;
}

/** AdamW (Loshchilov & Hutter 2019, algorithm 2), with PyTorch's defaults. */
export class AdamW extends Optimizer {
  readonly #betas: readonly [number, number];
  readonly #eps: number;

  /** @throws Error for impossible settings */
  constructor(params: readonly Tensor[] | readonly ParameterGroup[], options: AdamWOptions = {}) {
    const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 } = options;
    super(params, { lr, weightDecay }, ['exp_avg', 'exp_avg_sq']);
    if (!betas.every((beta) => beta >= 0 && beta < 1)) {
      throw new RangeError(`AdamW's betas must be in [0, 1), but are ${betas.join(', ')}.`);
    }
    this.#betas = [betas[0], betas[1]];
    this.#eps = eps;
  }

  protected update(group: OptimizerGroup, updates: readonly Update[]): void {
    // Bias correction depends on a parameter's own count, which is the same for all that never lacked a gradient.
    const byCount = new Map<number, Update[]>();
    for (const update of updates) {
      const count = this.stepsOf(update) + 1;
      const alike = byCount.get(count);
      if (alike) alike.push(update);
      else byCount.set(count, [update]);
    }
    for (const [count, alike] of byCount) this.#updateAlike(group, alike, count);
  }

  #updateAlike({ lr, weightDecay }: OptimizerGroup, updates: readonly Update[], count: number): void {
    const [beta1, beta2] = this.#betas;
    const params = updates.map(({ param }) => param);
    const grads = updates.map(({ grad }) => grad);
    const means = this.slot('exp_avg', updates, (position) => params[position]!.zerosLike());
    const squares = this.slot('exp_avg_sq', updates, (position) => params[position]!.zerosLike());
    ops.call('pgpc::adamw_', params, grads, means, squares, lr, beta1, beta2, this.#eps, weightDecay, count);
  }
}
