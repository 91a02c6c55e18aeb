// Transposed convolutions: the gradient of a convolution, used to enlarge.

import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { AnyConv } from './conv.js';
import type { GeneratorOption } from './init.js';
import { forProduct } from './products.js';
import { type Sizes, sizesOf } from './sizes.js';

export interface ConvTransposeOptions<N extends 1 | 2 | 3> extends GeneratorOption {
  stride?: Sizes<N>;
  /** Values taken off on every side of the output: what the convolution that this reverses would pad. */
  padding?: Sizes<N>;
  /** Values added on one side of the output: several input sizes of the convolution give one output size. */
  outputPadding?: Sizes<N>;
  dilation?: Sizes<N>;
  /** Number of groups of channels that do not mix; both channel counts must be multiples of it. */
  groups?: number;
  bias?: boolean;
}

/** (B, inChannels, ...sizes) to (B, outChannels, ...): an axis of n becomes (n - 1) s - 2 p + d (k - 1) + outputPadding + 1. */
abstract class ConvTranspose<N extends 1 | 2 | 3> extends AnyConv {
  readonly padding: readonly number[];
  readonly outputPadding: readonly number[];

  protected constructor(
    axes: N,
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes<N>,
    options: ConvTransposeOptions<N>,
  ) {
    super(axes, true, inChannels, outChannels, kernelSize, options);
    const { padding = 0, outputPadding = 0 } = options;
    const name = this.constructor.name;
    this.padding = sizesOf(`${name}'s padding`, padding, axes, 0);
    this.outputPadding = sizesOf(`${name}'s outputPadding`, outputPadding, axes, 0);
  }

  /** All that the operators take after the input, in their order. */
  protected get rest() {
    const { stride, padding, outputPadding, groups, dilation } = this;
    const weights = [forProduct(this.weight), forProduct(this.bias)] as const;
    return [...weights, stride, padding, outputPadding, groups, dilation] as const;
  }

  override extraRepr(): string {
    const { outputPadding } = this;
    return this.describe(this.padding, outputPadding.some((size) => size !== 0) ? { outputPadding } : {});
  }
}

/** Transposed convolution over (B, inChannels, L). The weight is (inChannels, outChannels / groups, kernelSize). */
export class ConvTranspose1d extends ConvTranspose<1> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes<1>,
    options: ConvTransposeOptions<1> = {},
  ) {
    super(1, inChannels, outChannels, kernelSize, options);
  }

  forward(x: Tensor): Tensor {
    return ops.convTranspose1d(x, ...this.rest);
  }
}

/** Transposed convolution over (B, inChannels, H, W). The weight is (inChannels, outChannels / groups, ...kernelSize). */
export class ConvTranspose2d extends ConvTranspose<2> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes<2>,
    options: ConvTransposeOptions<2> = {},
  ) {
    super(2, inChannels, outChannels, kernelSize, options);
  }

  forward(x: Tensor): Tensor {
    return ops.convTranspose2d(x, ...this.rest);
  }
}

/** Transposed convolution over (B, inChannels, D, H, W). The weight is (inChannels, outChannels / groups, ...kernelSize). */
export class ConvTranspose3d extends ConvTranspose<3> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes<3>,
    options: ConvTransposeOptions<3> = {},
  ) {
    super(3, inChannels, outChannels, kernelSize, options);
  }

  forward(x: Tensor): Tensor {
    return ops.convTranspose3d(x, ...this.rest);
  }
}
