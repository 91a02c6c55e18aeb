// Layers that drop values at random in training mode and pass their input through in evaluation mode.

import { alone, type World } from '../distributed/world.js';
import type { Tensor } from '../tensor.js';
import { drawnOnce } from './checkpoint.js';
import type { GeneratorOption } from './init.js';
import { Module } from './module.js';
import { named } from './sizes.js';

/** Draws a mask over some axes, broadcast over the others; what is kept is divided by the share that is kept. */
export abstract class RandomDrop extends Module {
  /** Over whose batches one mask is drawn, along the first axis; see `spreadOver`. */
  world: World = alone;
  readonly #rate: number;
  readonly #random: GeneratorOption;

  /**
   * @param rate probability of being dropped, 0 <= rate < 1
   * @throws RangeError for another rate
   */
  constructor(rate: number, { generator }: GeneratorOption = {}) {
    super();
    this.#rate = checkRate(rate);
    this.#random = { generator };
  }

  /** The shape of the mask for an input of this shape. */
  protected abstract maskShape(shape: readonly number[]): number[];

  forward(x: Tensor): Tensor {
    if (!this.training || this.#rate === 0) return x;
    const kept = 1 - this.#rate;
    const [samples, ...rest] = this.maskShape(x.shape);
    const mask = drawnOnce(() => {
      const masks = x.newEmpty([samples! * this.world.size, ...rest]).bernoulli_(kept, this.#random);
      return this.world.part(masks).div_(kept);
    });
    return x.mul(mask);
  }

  override extraRepr(): string {
    return named({ p: this.#rate });
  }
}

/** @throws RangeError for what is no share below 1 */
export function checkRate(rate: number): number {
  if (rate >= 0 && rate < 1) return rate;
  throw new RangeError(`A drop rate must be in [0, 1), but is ${rate}.`);
}

/** `x` without a share of its values, the others divided by the share that is kept: inside layers that drop. */
export function dropValues(x: Tensor, rate: number, { generator }: GeneratorOption): Tensor {
  if (rate === 0) return x;
  const mask = drawnOnce(() =>
    x
      .newEmpty(x.shape)
      .bernoulli_(1 - rate, { generator })
      .div_(1 - rate),
  );
  return x.mul(mask);
}

/** Drops single values (Srivastava et al. 2014). */
export class Dropout extends RandomDrop {
  constructor(rate = 0.5, options: GeneratorOption = {}) {
    super(rate, options);
  }

  protected maskShape(shape: readonly number[]): number[] {
    return [...shape];
  }
}

/** Drops whole channels of (B, D, ...sizes). */
abstract class ChannelDrop extends RandomDrop {
  constructor(rate = 0.5, options: GeneratorOption = {}) {
    super(rate, options);
  }

  protected maskShape(shape: readonly number[]): number[] {
    return shape.map((size, axis) => (axis < 2 ? size : 1));
  }
}

/** Drops whole channels of (B, D, L) (Tompson et al. 2015). */
export class Dropout1d extends ChannelDrop {}

/** Drops whole channels of (B, D, H, W) (Tompson et al. 2015). */
export class Dropout2d extends ChannelDrop {}

/** Drops whole channels of (B, D, Z, H, W) (Tompson et al. 2015). */
export class Dropout3d extends ChannelDrop {}

/** Drops the whole input of a sample (first axis): stochastic depth, for residual branches (Huang et al. 2016). */
export class DropPath extends RandomDrop {
  protected maskShape(shape: readonly number[]): number[] {
    return shape.map((size, axis) => (axis < 1 ? size : 1));
  }
}
