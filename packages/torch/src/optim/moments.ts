// What the relatives of Adam share: running means of the gradient and of its square, corrected by the number of steps.

import type { Tensor } from '../tensor.js';
import {
  Optimizer,
  type OptimizerGroup,
  type ParameterGroup,
  type PlainSetting,
  type Update,
} from './optimizer.js';

export interface MomentOptions {
  /** Learning rate of the groups that have none of their own. */
  lr?: number;
  /** Decay rates of the running means of the gradient and of its square. */
  betas?: readonly [number, number];
  /** Added to what is divided by. */
  eps?: number;
  /** Added to the gradient, times the parameter. */
  weightDecay?: number;
}

export abstract class MomentOptimizer extends Optimizer {
  #betas: readonly [number, number];
  protected readonly eps: number;

  /** @throws Error for impossible settings */
  protected constructor(
    params: readonly Tensor[] | readonly ParameterGroup[],
    { betas = [0.9, 0.999], eps = 1e-8, ...options }: MomentOptions & { lr: number; weightDecay: number },
    slots: readonly string[] = ['exp_avg', 'exp_avg_sq'],
  ) {
    super(params, options, slots);
    if (!betas.every((beta) => beta >= 0 && beta < 1)) {
      throw new RangeError(
        `${this.constructor.name}'s betas must be in [0, 1), but are ${betas.join(', ')}.`,
      );
    }
    this.#betas = [betas[0], betas[1]];
    this.eps = eps;
  }

  protected get betas(): readonly [number, number] {
    return this.#betas;
  }

  override get momentum(): number {
    return this.#betas[0];
  }

  protected override changeMomentum(momentum: number): void {
    this.#betas = [momentum, this.#betas[1]];
  }

  protected settings(): Record<string, PlainSetting> {
    return { betas: this.#betas, eps: this.eps };
  }

  protected update(group: OptimizerGroup, updates: readonly Update[]): void {
    for (const [count, alike] of this.byCount(updates)) this.updateAlike(group, alike, count);
  }

  /** One step of parameters that have all seen as many. @param count the step's number, from 1 */
  protected abstract updateAlike(group: OptimizerGroup, updates: readonly Update[], count: number): void;

  /** A running value of each parameter that starts at 0. */
  protected running(name: string, updates: readonly Update[]): Tensor[] {
    return this.slot(name, updates, (position) => updates[position]!.param.zerosLike());
  }
}
