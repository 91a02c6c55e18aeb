// Convolutions in one, two and three dimensions.

import { zeros } from '../factories.js';
import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { type GeneratorOption, resetLayer_ } from './init.js';
import { Module } from './module.js';
import { forProduct } from './products.js';
import { named, type Sizes, sizesOf } from './sizes.js';

/** What lies beyond the border: zeros, the mirrored input, its outermost values, or its other end. */
export type PaddingMode = 'zeros' | 'reflect' | 'replicate' | 'circular';

export interface ConvOptions<N extends 1 | 2 | 3> extends GeneratorOption {
  stride?: Sizes<N>;
  /** Values added on every side; `same` keeps the input's size (stride 1 only), `valid` adds none. */
  padding?: Sizes<N> | 'same' | 'valid';
  dilation?: Sizes<N>;
  /** Number of groups of channels that do not mix; both channel counts must be multiples of it. */
  groups?: number;
  bias?: boolean;
  paddingMode?: PaddingMode;
}

/** What convolutions share, also the transposed ones: weight, bias, and the geometry of the kernel. */
export abstract class AnyConv extends Module {
  readonly weight: Tensor;
  /** (outChannels) */
  readonly bias: Tensor | null;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: readonly number[];
  readonly stride: readonly number[];
  readonly dilation: readonly number[];
  readonly groups: number;

  /** @throws RangeError if a channel count is no multiple of `groups`, or for impossible sizes */
  protected constructor(
    axes: 1 | 2 | 3,
    transposed: boolean,
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly number[],
    options: GeneratorOption & {
      stride?: number | readonly number[];
      dilation?: number | readonly number[];
      groups?: number;
      bias?: boolean;
    },
  ) {
    super();
    const { stride = 1, dilation = 1, groups = 1, bias = true, generator } = options;
    const name = this.constructor.name;
    if (inChannels % groups !== 0 || outChannels % groups !== 0) {
      throw new RangeError(
        `${name}(${inChannels}, ${outChannels}): both must be multiples of groups = ${groups}.`,
      );
    }
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.kernelSize = sizesOf(`${name}'s kernelSize`, kernelSize, axes, 1);
    this.stride = sizesOf(`${name}'s stride`, stride, axes, 1);
    this.dilation = sizesOf(`${name}'s dilation`, dilation, axes, 1);
    this.groups = groups;
    const channels = transposed ? [inChannels, outChannels / groups] : [outChannels, inChannels / groups];
    this.weight = this.parameter(zeros([...channels, ...this.kernelSize]));
    this.bias = bias ? this.parameter(zeros([outChannels])) : null;
    resetLayer_(this.weight, this.bias, { generator });
  }

  /** The settings that are not the default, as PyTorch prints them. */
  protected describe(padding: unknown, more: Record<string, unknown>): string {
    const { inChannels, outChannels, kernelSize, stride, dilation, groups, bias } = this;
    const shown: Record<string, unknown> = { kernelSize, stride };
    if (!Array.isArray(padding) || padding.some((size) => size !== 0)) shown.padding = padding;
    if (dilation.some((size) => size !== 1)) shown.dilation = dilation;
    const { paddingMode, ...rest } = more;
    Object.assign(shown, rest);
    if (groups !== 1) shown.groups = groups;
    if (!bias) shown.bias = false;
    if (paddingMode !== undefined) shown.paddingMode = paddingMode;
    return `${inChannels}, ${outChannels}, ${named(shown)}`;
  }
}

/** A convolution of (B, inChannels, ...sizes) to (B, outChannels, ...). */
abstract class Conv<N extends 1 | 2 | 3> extends AnyConv {
  readonly padding: readonly number[] | 'same' | 'valid';
  readonly paddingMode: PaddingMode;
  /** What the operator pads by itself. */
  readonly #zeros: number[];
  /** What is padded before it, as `pad` takes it: the last axis first, both sides; undefined for nothing. */
  readonly #before: number[] | undefined;

  protected constructor(
    axes: N,
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes<N>,
    options: ConvOptions<N>,
  ) {
    super(axes, false, inChannels, outChannels, kernelSize, options);
    const { padding = 0, paddingMode = 'zeros' } = options;
    const name = this.constructor.name;
    if (padding === 'same' && this.stride.some((step) => step !== 1)) {
      throw new RangeError(
        `${name}: padding 'same' needs a stride of 1, but it is ${this.stride.join(', ')}.`,
      );
    }
    this.padding = typeof padding === 'string' ? padding : sizesOf(`${name}'s padding`, padding, axes, 0);
    this.paddingMode = paddingMode;
    const sides = this.#sides();
    const even = sides.every(([low, high]) => low === high);
    const inside = paddingMode === 'zeros' && even;
    this.#zeros = sides.map(([low]) => (inside ? low : 0));
    this.#before = inside || sides.flat().every((size) => size === 0) ? undefined : sides.toReversed().flat();
  }

  /** Values before and after each axis. Of an odd number that `same` adds, the last one comes after. */
  #sides(): [low: number, high: number][] {
    return this.kernelSize.map((size, axis) => {
      if (this.padding === 'valid') return [0, 0];
      if (this.padding !== 'same') return [this.padding[axis]!, this.padding[axis]!];
      const total = this.dilation[axis]! * (size - 1);
      return [Math.floor(total / 2), Math.ceil(total / 2)];
    });
  }

  forward(x: Tensor): Tensor {
    const mode = this.paddingMode === 'zeros' ? 'constant' : this.paddingMode;
    const padded = this.#before ? ops.pad(x, this.#before, mode) : x;
    return this.convolve(padded, forProduct(this.weight), forProduct(this.bias), this.#zeros);
  }

  protected abstract convolve(x: Tensor, weight: Tensor, bias: Tensor | null, padding: number[]): Tensor;

  override extraRepr(): string {
    const mode = this.paddingMode === 'zeros' ? {} : { paddingMode: this.paddingMode };
    return this.describe(this.padding, mode);
  }
}

/** Convolution over (B, inChannels, L). The weight is (outChannels, inChannels / groups, kernelSize). */
export class Conv1d extends Conv<1> {
  constructor(inChannels: number, outChannels: number, kernelSize: Sizes<1>, options: ConvOptions<1> = {}) {
    super(1, inChannels, outChannels, kernelSize, options);
  }

  protected convolve(x: Tensor, weight: Tensor, bias: Tensor | null, padding: number[]): Tensor {
    return ops.conv1d(x, weight, bias, this.stride, padding, this.dilation, this.groups);
  }
}

/** Convolution over (B, inChannels, H, W). The weight is (outChannels, inChannels / groups, ...kernelSize). */
export class Conv2d extends Conv<2> {
  readonly #depthwise: boolean;
  /** Whether Winograd's algorithm fits, but for the padding. */
  readonly #plain3x3: boolean;

  constructor(inChannels: number, outChannels: number, kernelSize: Sizes<2>, options: ConvOptions<2> = {}) {
    super(2, inChannels, outChannels, kernelSize, options);
    this.#plain3x3 =
      this.groups === 1 &&
      this.kernelSize.every((size) => size === 3) &&
      [...this.stride, ...this.dilation].every((value) => value === 1);
    this.#depthwise = this.groups > 1 && this.groups === inChannels && this.groups === outChannels;
  }

  protected convolve(x: Tensor, weight: Tensor, bias: Tensor | null, padding: number[]): Tensor {
    const geometry = [this.stride, padding, this.dilation] as const;
    // Our kernel takes batches only.
    const depthwise = this.#depthwise && x.ndim === 4;
    if (depthwise && this.dilation[0]! > 1 && x.device.startsWith('cuda')) {
      // cuDNN takes six times as long for it with channels last as libtorch's kernel for planes; turning there and back
      // is a twentieth of what that saves.
      const y = ops.conv2d(x.contiguous(), weight, bias, ...geometry, this.groups);
      return y.contiguous({ memoryFormat: 'channelsLast' });
    }
    if (depthwise) {
      // Libtorch's own kernel for this case is several times slower on the CPU.
      return ops.call('pgpc::depthwise_conv2d', x, weight, bias, ...geometry) as Tensor;
    }
    if (this.#plain3x3 && padding.every((value) => value === 1) && x.device === 'cpu') {
      // Half the time of libtorch's where channels and pixels are many; elsewhere it is libtorch's.
      return ops.call('pgpc::winograd_conv2d', x, weight, bias) as Tensor;
    }
    return ops.conv2d(x, weight, bias, ...geometry, this.groups);
  }
}

/** Convolution over (B, inChannels, D, H, W). The weight is (outChannels, inChannels / groups, ...kernelSize). */
export class Conv3d extends Conv<3> {
  constructor(inChannels: number, outChannels: number, kernelSize: Sizes<3>, options: ConvOptions<3> = {}) {
    super(3, inChannels, outChannels, kernelSize, options);
  }

  protected convolve(x: Tensor, weight: Tensor, bias: Tensor | null, padding: number[]): Tensor {
    return ops.conv3d(x, weight, bias, this.stride, padding, this.dilation, this.groups);
  }
}
