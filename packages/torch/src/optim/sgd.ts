// Stochastic gradient descent with momentum.

import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { Optimizer, type OptimizerGroup, type ParameterGroup, type Update } from './optimizer.js';

export interface SGDOptions {
  /** Learning rate of the groups that have none of their own. */
  lr: number;
  /** Share of the last update's direction that is kept. */
  momentum?: number;
  /** Share of the gradient that is left out of that direction. */
  dampening?: number;
  /** Added to the gradient, times the parameter. */
  weightDecay?: number;
  /** Looks one step ahead with the momentum; needs momentum and no dampening. */
  nesterov?: boolean;
}

/** Gradient descent with momentum as PyTorch defines it: buf = m buf + (1 - d) g; p = p - lr buf. */
export class SGD extends Optimizer {
  #momentum: number;
  readonly #dampening: number;
  readonly #nesterov: boolean;

  /** @throws Error for impossible settings */
  constructor(params: readonly Tensor[] | readonly ParameterGroup[], options: SGDOptions) {
    const { lr, momentum = 0, dampening = 0, weightDecay = 0, nesterov = false } = options;
    super(params, { lr, weightDecay }, ['momentum_buffer']);
    if (nesterov && (momentum <= 0 || dampening !== 0)) {
      throw new Error('Nesterov momentum needs a momentum above 0 and no dampening.');
    }
    this.#momentum = momentum;
    this.#dampening = dampening;
    this.#nesterov = nesterov;
  }

  protected update({ lr, weightDecay }: OptimizerGroup, updates: readonly Update[]): void {
    const params = updates.map(({ param }) => param);
    let directions = this.decayed(updates, weightDecay);
    if (this.#momentum !== 0) directions = this.#addMomentum(updates, directions);
    ops._foreachAdd_(params, directions, { alpha: -lr });
  }

  override get momentum(): number {
    return this.#momentum;
  }

  protected override changeMomentum(momentum: number): void {
    this.#momentum = momentum;
  }

  protected settings() {
    return { momentum: this.#momentum, dampening: this.#dampening, nesterov: this.#nesterov };
  }

  #addMomentum(updates: readonly Update[], gradients: readonly Tensor[]): Tensor[] {
    // PyTorch leaves the first direction undamped: m (d / m) g + (1 - d) g = g.
    const first = this.#dampening / this.#momentum;
    const buffers = this.slot('momentum_buffer', updates, (position) => gradients[position]!.mul(first));
    ops._foreachMul_(buffers, this.#momentum);
    ops._foreachAdd_(buffers, gradients, { alpha: 1 - this.#dampening });
    return this.#nesterov ? ops._foreachAdd(gradients, buffers, { alpha: this.#momentum }) : buffers;
  }
}
