// Optimizers with a rate for each value and no bias correction: RMSprop, Adagrad, Adadelta.

import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { Optimizer, type OptimizerGroup, type ParameterGroup, type Update } from './optimizer.js';

type Params = readonly Tensor[] | readonly ParameterGroup[];

interface RateOptions {
  /** Learning rate of the groups that have none of their own. */
  lr?: number;
  /** Added to what is divided by. */
  eps?: number;
  /** Added to the gradient, times the parameter. */
  weightDecay?: number;
}

/** @throws RangeError for what is no share */
function checkShare(name: string, value: number): number {
  if (value >= 0 && value <= 1) return value;
  throw new RangeError(`${name} must be in [0, 1], but is ${value}.`);
}

export interface RMSpropOptions extends RateOptions {
  /** Share of the running mean square that is kept. */
  alpha?: number;
  /** Share of the last update's direction that is kept. */
  momentum?: number;
  /** Whether to divide by the standard deviation rather than by the root of the mean square. */
  centered?: boolean;
}

/** RMSprop (Hinton 2012), with PyTorch's defaults; centered as Graves 2013 has it. */
export class RMSprop extends Optimizer {
  readonly #alpha: number;
  readonly #eps: number;
  readonly #centered: boolean;
  #momentum: number;

  /** @throws Error for impossible settings */
  constructor(params: Params, options: RMSpropOptions = {}) {
    const { lr = 1e-2, alpha = 0.99, eps = 1e-8, weightDecay = 0, momentum = 0, centered = false } = options;
    super(params, { lr, weightDecay }, ['square_avg', 'momentum_buffer', 'grad_avg']);
    this.#alpha = checkShare("RMSprop's alpha", alpha);
    this.#momentum = checkShare("RMSprop's momentum", momentum);
    this.#eps = eps;
    this.#centered = centered;
  }

  override get momentum(): number {
    return this.#momentum;
  }

  protected override changeMomentum(momentum: number): void {
    this.#momentum = momentum;
  }

  protected settings() {
    return { momentum: this.#momentum, alpha: this.#alpha, eps: this.#eps, centered: this.#centered };
  }

  protected update({ lr, weightDecay }: OptimizerGroup, updates: readonly Update[]): void {
    const gradients = this.decayed(updates, weightDecay);
    const zero = (position: number) => gradients[position]!.zerosLike();
    const squares = this.slot('square_avg', updates, zero);
    ops._foreachMul_(squares, this.#alpha);
    ops._foreachAddcmul_(squares, gradients, gradients, 1 - this.#alpha);
    const roots = ops._foreachSqrt(this.#centered ? this.#variances(updates, gradients, squares) : squares);
    ops._foreachAdd_(roots, this.#eps);
    const params = updates.map(({ param }) => param);
    if (this.#momentum === 0) {
      ops._foreachAddcdiv_(params, gradients, roots, -lr);
      return;
    }
    const buffers = this.slot('momentum_buffer', updates, zero);
    ops._foreachMul_(buffers, this.#momentum);
    ops._foreachAddcdiv_(buffers, gradients, roots);
    ops._foreachAdd_(params, buffers, { alpha: -lr });
  }

  #variances(updates: readonly Update[], gradients: Tensor[], squares: Tensor[]): Tensor[] {
    const means = this.slot('grad_avg', updates, (position) => gradients[position]!.zerosLike());
    ops._foreachMul_(means, this.#alpha);
    ops._foreachAdd_(means, gradients, { alpha: 1 - this.#alpha });
    return ops._foreachAddcmul(squares, means, means, -1);
  }
}

export interface AdagradOptions extends RateOptions {
  /** The rate is divided by 1 + this times the number of steps before. */
  lrDecay?: number;
  /** What the sums of squares start at. */
  initialAccumulatorValue?: number;
}

/** Adagrad (Duchi et al. 2011), with PyTorch's defaults. */
export class Adagrad extends Optimizer {
  readonly #eps: number;
  readonly #lrDecay: number;
  readonly #initial: number;

  /** @throws Error for impossible settings */
  constructor(params: Params, options: AdagradOptions = {}) {
    const { lr = 1e-2, eps = 1e-10, weightDecay = 0, lrDecay = 0, initialAccumulatorValue = 0 } = options;
    super(params, { lr, weightDecay }, ['sum']);
    if (!(lrDecay >= 0)) throw new RangeError(`Adagrad's lrDecay must not be negative: ${lrDecay}.`);
    if (!(initialAccumulatorValue >= 0)) {
      throw new RangeError(
        `Adagrad's initialAccumulatorValue must not be negative: ${initialAccumulatorValue}.`,
      );
    }
    this.#eps = eps;
    this.#lrDecay = lrDecay;
    this.#initial = initialAccumulatorValue;
  }

  protected settings() {
    return { lr_decay: this.#lrDecay, initial_accumulator_value: this.#initial, eps: this.#eps };
  }

  protected update({ lr, weightDecay }: OptimizerGroup, updates: readonly Update[]): void {
    for (const [count, alike] of this.byCount(updates)) {
      const gradients = this.decayed(alike, weightDecay);
      const sums = this.slot('sum', alike, (position) => gradients[position]!.fullLike(this.#initial));
      ops._foreachAddcmul_(sums, gradients, gradients);
      const roots = ops._foreachSqrt(sums);
      ops._foreachAdd_(roots, this.#eps);
      const params = alike.map(({ param }) => param);
      ops._foreachAddcdiv_(params, gradients, roots, -lr / (1 + (count - 1) * this.#lrDecay));
    }
  }
}

export interface AdadeltaOptions extends RateOptions {
  /** Share of the running mean squares that is kept. */
  rho?: number;
}

/** Adadelta (Zeiler 2012), with PyTorch's defaults. */
export class Adadelta extends Optimizer {
  readonly #eps: number;
  readonly #rho: number;

  /** @throws Error for impossible settings */
  constructor(params: Params, options: AdadeltaOptions = {}) {
    const { lr = 1, eps = 1e-6, weightDecay = 0, rho = 0.9 } = options;
    super(params, { lr, weightDecay }, ['square_avg', 'acc_delta']);
    this.#rho = checkShare("Adadelta's rho", rho);
    this.#eps = eps;
  }

  protected settings() {
    return { rho: this.#rho, eps: this.#eps };
  }

  protected update({ lr, weightDecay }: OptimizerGroup, updates: readonly Update[]): void {
    const gradients = this.decayed(updates, weightDecay);
    const zero = (position: number) => gradients[position]!.zerosLike();
    const squares = this.slot('square_avg', updates, zero);
    const changes = this.slot('acc_delta', updates, zero);
    const move = (running: Tensor[], values: Tensor[]) => {
      ops._foreachMul_(running, this.#rho);
      ops._foreachAddcmul_(running, values, values, 1 - this.#rho);
    };
    move(squares, gradients);
    const ratios = ops._foreachDiv(this.#roots(changes), this.#roots(squares));
    const directions = ops._foreachMul(ratios, gradients);
    move(changes, directions);
    const params = updates.map(({ param }) => param);
    ops._foreachAdd_(params, directions, { alpha: -lr });
  }

  #roots(squares: Tensor[]): Tensor[] {
    return ops._foreachSqrt(ops._foreachAdd(squares, this.#eps));
  }
}
