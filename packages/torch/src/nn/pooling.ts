// Pooling layers over windows: (B, C, ...sizes) to (B, C, ...).

import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { Module } from './module.js';
import { named, type Sizes, sizesOf } from './sizes.js';

export interface MaxPoolOptions<N extends 1 | 2 | 3> {
  /** Step between windows; the window's size by default. */
  stride?: Sizes<N>;
  /** Values added on every side, which are never chosen. */
  padding?: Sizes<N>;
  /** Step between the values of a window. */
  dilation?: Sizes<N>;
  /** Whether windows may reach over the end. */
  ceilMode?: boolean;
}

abstract class MaxPool<N extends 1 | 2 | 3> extends Module {
  /** The arguments of the operator after its input. */
  protected readonly window: readonly [
    kernelSize: number[],
    stride: number[],
    padding: number[],
    dilation: number[],
    ceilMode: boolean,
  ];
  readonly #given: Record<string, unknown>;

  protected constructor(axes: N, kernelSize: Sizes<N>, options: MaxPoolOptions<N>) {
    super();
    const { stride = kernelSize, padding = 0, dilation = 1, ceilMode = false } = options;
    this.#given = { kernelSize, stride, padding, dilation, ceilMode };
    const size = (name: string, value: Sizes<N>, least: number) =>
      sizesOf(`${this.constructor.name}'s ${name}`, value, axes, least);
    this.window = [
      size('kernelSize', kernelSize, 1),
      size('stride', stride, 1),
      size('padding', padding, 0),
      size('dilation', dilation, 1),
      ceilMode,
    ];
  }

  override extraRepr(): string {
    return named(this.#given);
  }
}

/** The largest value of each window of (B, C, L). */
export class MaxPool1d extends MaxPool<1> {
  constructor(kernelSize: Sizes<1>, options: MaxPoolOptions<1> = {}) {
    super(1, kernelSize, options);
  }

  forward(x: Tensor): Tensor {
    return ops.maxPool1d(x, ...this.window);
  }
}

/** The largest value of each window of (B, C, H, W). */
export class MaxPool2d extends MaxPool<2> {
  constructor(kernelSize: Sizes<2>, options: MaxPoolOptions<2> = {}) {
    super(2, kernelSize, options);
  }

  forward(x: Tensor): Tensor {
    return ops.maxPool2d(x, ...this.window);
  }
}

/** The largest value of each window of (B, C, D, H, W). */
export class MaxPool3d extends MaxPool<3> {
  constructor(kernelSize: Sizes<3>, options: MaxPoolOptions<3> = {}) {
    super(3, kernelSize, options);
  }

  forward(x: Tensor): Tensor {
    return ops.maxPool3d(x, ...this.window);
  }
}

export interface AvgPoolOptions<N extends 1 | 2 | 3> {
  /** Step between windows; the window's size by default. */
  stride?: Sizes<N>;
  /** Zeros added on every side. */
  padding?: Sizes<N>;
  /** Whether windows may reach over the end. */
  ceilMode?: boolean;
  /** Whether the padding counts in the mean. */
  countIncludePad?: boolean;
}

abstract class AvgPool<N extends 1 | 2 | 3> extends Module {
  /** The arguments of the operator after its input. */
  protected readonly window: readonly [
    kernelSize: number[],
    stride: number[],
    padding: number[],
    ceilMode: boolean,
    countIncludePad: boolean,
  ];
  readonly #given: Record<string, unknown>;

  protected constructor(axes: N, kernelSize: Sizes<N>, options: AvgPoolOptions<N>) {
    super();
    const { stride = kernelSize, padding = 0, ceilMode = false, countIncludePad = true } = options;
    const size = (name: string, value: Sizes<N>, least: number) =>
      sizesOf(`${this.constructor.name}'s ${name}`, value, axes, least);
    this.window = [
      size('kernelSize', kernelSize, 1),
      size('stride', stride, 1),
      size('padding', padding, 0),
      ceilMode,
      countIncludePad,
    ];
    // As PyTorch prints it.
    const [kernels, strides, paddings] = this.window;
    this.#given =
      axes === 1
        ? { kernelSize: kernels, stride: strides, padding: paddings }
        : { kernelSize, stride, padding };
  }

  override extraRepr(): string {
    return named(this.#given);
  }
}

/** The mean of each window of (B, C, L). */
export class AvgPool1d extends AvgPool<1> {
  constructor(kernelSize: Sizes<1>, options: AvgPoolOptions<1> = {}) {
    super(1, kernelSize, options);
  }

  forward(x: Tensor): Tensor {
    return ops.avgPool1d(x, ...this.window);
  }
}

/** The mean of each window of (B, C, H, W). */
export class AvgPool2d extends AvgPool<2> {
  constructor(kernelSize: Sizes<2>, options: AvgPoolOptions<2> = {}) {
    super(2, kernelSize, options);
  }

  forward(x: Tensor): Tensor {
    return ops.avgPool2d(x, ...this.window);
  }
}

/** The mean of each window of (B, C, D, H, W). */
export class AvgPool3d extends AvgPool<3> {
  constructor(kernelSize: Sizes<3>, options: AvgPoolOptions<3> = {}) {
    super(3, kernelSize, options);
  }

  forward(x: Tensor): Tensor {
    return ops.avgPool3d(x, ...this.window);
  }
}

/** A grid of `outputSize` windows that cover the input, whatever its size. */
abstract class AdaptivePool<N extends 1 | 2 | 3> extends Module {
  protected readonly outputSize: number[];
  readonly #given: Sizes<N>;

  protected constructor(axes: N, outputSize: Sizes<N>) {
    super();
    this.#given = outputSize;
    this.outputSize = sizesOf(`${this.constructor.name}'s outputSize`, outputSize, axes, 1);
  }

  override extraRepr(): string {
    return named({ outputSize: this.#given });
  }
}

/** Means over `outputSize` windows that cover (B, C, L). */
export class AdaptiveAvgPool1d extends AdaptivePool<1> {
  constructor(outputSize: Sizes<1>) {
    super(1, outputSize);
  }

  forward(x: Tensor): Tensor {
    return ops.adaptiveAvgPool1d(x, this.outputSize);
  }
}

/** Means over a grid of windows that cover (B, C, H, W): `outputSize` of them on each axis. */
export class AdaptiveAvgPool2d extends AdaptivePool<2> {
  constructor(outputSize: Sizes<2>) {
    super(2, outputSize);
  }

  forward(x: Tensor): Tensor {
    return ops.adaptiveAvgPool2d(x, this.outputSize);
  }
}

/** Means over a grid of windows that cover (B, C, D, H, W): `outputSize` of them on each axis. */
export class AdaptiveAvgPool3d extends AdaptivePool<3> {
  constructor(outputSize: Sizes<3>) {
    super(3, outputSize);
  }

  forward(x: Tensor): Tensor {
    return ops.adaptiveAvgPool3d(x, this.outputSize);
  }
}

/** The largest values of `outputSize` windows that cover (B, C, L). */
export class AdaptiveMaxPool1d extends AdaptivePool<1> {
  constructor(outputSize: Sizes<1>) {
    super(1, outputSize);
  }

  forward(x: Tensor): Tensor {
    return ops.adaptiveMaxPool1d(x, this.outputSize)[0];
  }
}

/** The largest values of a grid of windows that cover (B, C, H, W): `outputSize` of them on each axis. */
export class AdaptiveMaxPool2d extends AdaptivePool<2> {
  constructor(outputSize: Sizes<2>) {
    super(2, outputSize);
  }

  forward(x: Tensor): Tensor {
    return ops.adaptiveMaxPool2d(x, this.outputSize)[0];
  }
}

/** The largest values of a grid of windows that cover (B, C, D, H, W): `outputSize` of them on each axis. */
export class AdaptiveMaxPool3d extends AdaptivePool<3> {
  constructor(outputSize: Sizes<3>) {
    super(3, outputSize);
  }

  forward(x: Tensor): Tensor {
    return ops.adaptiveMaxPool3d(x, this.outputSize)[0];
  }
}
