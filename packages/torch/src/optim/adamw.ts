// Adam with decoupled weight decay.

import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { MomentOptimizer } from './moments.js';
import type { OptimizerGroup, ParameterGroup, PlainSetting, Update } from './optimizer.js';

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
export class AdamW extends MomentOptimizer {
  /** @throws Error for impossible settings */
  constructor(params: readonly Tensor[] | readonly ParameterGroup[], options: AdamWOptions = {}) {
    super(params, { ...options, lr: options.lr ?? 1e-3, weightDecay: options.weightDecay ?? 0.01 });
  }

  /** Newer versions of PyTorch keep AdamW as Adam with this setting. */
  protected override settings(): Record<string, PlainSetting> {
    return { ...super.settings(), decoupled_weight_decay: true };
  }

  protected updateAlike(
    { lr, weightDecay }: OptimizerGroup,
    updates: readonly Update[],
    count: number,
  ): void {
    const [beta1, beta2] = this.betas;
    const params = updates.map(({ param }) => param);
    const grads = updates.map(({ grad }) => grad);
    const means = this.running('exp_avg', updates);
    const squares = this.running('exp_avg_sq', updates);
    ops.call('pgpc::adamw_', params, grads, means, squares, lr, beta1, beta2, this.eps, weightDecay, count);
  }
}
