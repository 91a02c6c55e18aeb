// Adam and its relatives with weight decay in the gradient: Adam, Adamax, NAdam, RAdam.

import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { MomentOptimizer, type MomentOptions } from './moments.js';
import type { OptimizerGroup, ParameterGroup, PlainSetting, Update } from './optimizer.js';

type Params = readonly Tensor[] | readonly ParameterGroup[];

/** Moves running means and mean squares on by gradients, in place. */
function moveMoments(
  [means, squares]: readonly [Tensor[], Tensor[]],
  gradients: Tensor[],
  [beta1, beta2]: readonly [number, number],
): void {
  ops._foreachMul_(means, beta1);
  ops._foreachAdd_(means, gradients, { alpha: 1 - beta1 });
  ops._foreachMul_(squares, beta2);
  ops._foreachAddcmul_(squares, gradients, gradients, 1 - beta2);
}

export interface AdamOptions extends MomentOptions {
  /** Whether to divide by the largest mean square so far (Reddi et al. 2018). */
  amsgrad?: boolean;
}

/** Adam (Kingma & Ba 2015), with PyTorch's defaults. Its decay is part of the gradient: AdamW's is not. */
export class Adam extends MomentOptimizer {
  readonly #amsgrad: boolean;

  /** @throws Error for impossible settings */
  constructor(params: Params, { amsgrad = false, lr = 1e-3, weightDecay = 0, ...options }: AdamOptions = {}) {
    const slots = ['exp_avg', 'exp_avg_sq', ...(amsgrad ? ['max_exp_avg_sq'] : [])];
    super(params, { ...options, lr, weightDecay }, slots);
    this.#amsgrad = amsgrad;
  }

  protected override settings(): Record<string, PlainSetting> {
    return { ...super.settings(), amsgrad: this.#amsgrad };
  }

  protected updateAlike(
    { lr, weightDecay }: OptimizerGroup,
    updates: readonly Update[],
    count: number,
  ): void {
    const [beta1, beta2] = this.betas;
    const gradients = this.decayed(updates, weightDecay);
    const means = this.running('exp_avg', updates);
    const squares = this.running('exp_avg_sq', updates);
    moveMoments([means, squares], gradients, this.betas);
    const roots = ops._foreachSqrt(this.#amsgrad ? this.#largest(updates, squares) : squares);
    ops._foreachDiv_(roots, Math.sqrt(1 - beta2 ** count));
    ops._foreachAdd_(roots, this.eps);
    const params = updates.map(({ param }) => param);
    ops._foreachAddcdiv_(params, means, roots, -lr / (1 - beta1 ** count));
  }

  #largest(updates: readonly Update[], squares: Tensor[]): Tensor[] {
    const largest = this.running('max_exp_avg_sq', updates);
    for (const [i, value] of largest.entries()) value.copy_(value.maximum(squares[i]!));
    return largest;
  }
}

/** Adamax (Kingma & Ba 2015, section 7.1): divides by a decaying largest gradient. */
export class Adamax extends MomentOptimizer {
  /** @throws Error for impossible settings */
  constructor(params: Params, { lr = 2e-3, weightDecay = 0, ...options }: MomentOptions = {}) {
    super(params, { ...options, lr, weightDecay }, ['exp_avg', 'exp_inf']);
  }

  protected updateAlike(
    { lr, weightDecay }: OptimizerGroup,
    updates: readonly Update[],
    count: number,
  ): void {
    const [beta1, beta2] = this.betas;
    const gradients = this.decayed(updates, weightDecay);
    const means = this.running('exp_avg', updates);
    ops._foreachMul_(means, beta1);
    ops._foreachAdd_(means, gradients, { alpha: 1 - beta1 });
    const largest = this.running('exp_inf', updates);
    for (const [i, value] of largest.entries()) {
      value.copy_(value.mul(beta2).maximum(gradients[i]!.abs().add(this.eps)));
    }
    const params = updates.map(({ param }) => param);
    ops._foreachAddcdiv_(params, means, largest, -lr / (1 - beta1 ** count));
  }
}

export interface NAdamOptions extends MomentOptions {
  /** How fast the momentum comes up to its beta. */
  momentumDecay?: number;
}

/** Adam with Nesterov's momentum (Dozat 2016). */
export class NAdam extends MomentOptimizer {
  readonly #momentumDecay: number;

  /** @throws Error for impossible settings */
  constructor(
    params: Params,
    { lr = 2e-3, weightDecay = 0, momentumDecay = 4e-3, ...options }: NAdamOptions = {},
  ) {
    super(params, { ...options, lr, weightDecay });
    this.#momentumDecay = momentumDecay;
  }

  protected override settings(): Record<string, PlainSetting> {
    return { ...super.settings(), momentum_decay: this.#momentumDecay };
  }

  protected override derived(steps: number): Record<string, number> {
    return { mu_product: this.#momentumProduct(steps) };
  }

  /** The momentum at a step, from 1. */
  #momentumAt(count: number): number {
    return this.betas[0] * (1 - 0.5 * 0.96 ** (count * this.#momentumDecay));
  }

  /** Of the steps so far. Below the smallest double after a few thousand steps: the loop is short. */
  #momentumProduct(steps: number): number {
    let product = 1;
    for (let count = 1; count <= steps && product > 0; count++) product *= this.#momentumAt(count);
    return product;
  }

  protected updateAlike(
    { lr, weightDecay }: OptimizerGroup,
    updates: readonly Update[],
    count: number,
  ): void {
    const gradients = this.decayed(updates, weightDecay);
    const means = this.running('exp_avg', updates);
    const squares = this.running('exp_avg_sq', updates);
    moveMoments([means, squares], gradients, this.betas);
    const roots = ops._foreachSqrt(ops._foreachDiv(squares, 1 - this.betas[1] ** count));
    ops._foreachAdd_(roots, this.eps);
    const [now, next] = [this.#momentumAt(count), this.#momentumAt(count + 1)];
    const product = this.#momentumProduct(count);
    const params = updates.map(({ param }) => param);
    ops._foreachAddcdiv_(params, gradients, roots, (-lr * (1 - now)) / (1 - product));
    ops._foreachAddcdiv_(params, means, roots, (-lr * next) / (1 - product * next));
  }
}

/** Rectified Adam (Liu et al. 2020): without the mean square until its variance can be told. */
export class RAdam extends MomentOptimizer {
  /** @throws Error for impossible settings */
  constructor(params: Params, { lr = 1e-3, weightDecay = 0, ...options }: MomentOptions = {}) {
    super(params, { ...options, lr, weightDecay });
  }

  protected updateAlike(
    { lr, weightDecay }: OptimizerGroup,
    updates: readonly Update[],
    count: number,
  ): void {
    const [beta1, beta2] = this.betas;
    const gradients = this.decayed(updates, weightDecay);
    const means = this.running('exp_avg', updates);
    const squares = this.running('exp_avg_sq', updates);
    moveMoments([means, squares], gradients, this.betas);
    const params = updates.map(({ param }) => param);
    const step = -lr / (1 - beta1 ** count);
    // Lengths of the simple moving average that is as wide as the running mean, at the end and now.
    const most = 2 / (1 - beta2) - 1;
    const now = most - (2 * count * beta2 ** count) / (1 - beta2 ** count);
    if (now <= 5) {
      ops._foreachAdd_(params, means, { alpha: step });
      return;
    }
    const rectified = Math.sqrt(((now - 4) * (now - 2) * most) / ((most - 4) * (most - 2) * now));
    const roots = ops._foreachSqrt(squares);
    ops._foreachAdd_(roots, this.eps);
    ops._foreachAddcdiv_(params, means, roots, step * rectified * Math.sqrt(1 - beta2 ** count));
  }
}
