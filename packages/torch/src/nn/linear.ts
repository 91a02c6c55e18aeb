// Layers with learned weights: linear and two-dimensional convolution.

import { zeros } from '../factories.js';
import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { type GeneratorOption, resetLayer_ } from './init.js';
import { Module } from './module.js';
import { forProduct } from './products.js';

export interface LinearOptions extends GeneratorOption {
  bias?: boolean;
}

/** y = x W^T + b over the last axis: (..., inFeatures) to (..., outFeatures). */
export class Linear extends Module {
  /** (outFeatures, inFeatures) */
  readonly weight: Tensor;
  /** (outFeatures) */
  readonly bias: Tensor | null;

  constructor(inFeatures: number, outFeatures: number, { bias = true, generator }: LinearOptions = {}) {
    super();
    this.weight = this.parameter(zeros([outFeatures, inFeatures]));
    this.bias = bias ? this.parameter(zeros([outFeatures])) : null;
    resetLayer_(this.weight, this.bias, { generator });
  }

  forward(x: Tensor): Tensor {
    return ops.linear(x, forProduct(this.weight), forProduct(this.bias));
  }
}

export interface Conv2dOptions extends GeneratorOption {
  stride?: number;
  /** Zeros added on every side, in pixels. */
  padding?: number;
  dilation?: number;
  /** Number of groups of channels that do not mix; both channel counts must be multiples of it. */
  groups?: number;
  bias?: boolean;
}

/** Convolution with a square kernel: (B, inChannels, H, W) to (B, outChannels, H', W'). */
export class Conv2d extends Module {
  /** (outChannels, inChannels / groups, kernelSize, kernelSize) */
  readonly weight: Tensor;
  /** (outChannels) */
  readonly bias: Tensor | null;
  readonly #stride: [number, number];
  readonly #padding: [number, number];
  readonly #dilation: [number, number];
  readonly #groups: number;
  readonly #depthwise: boolean;

  /** @throws RangeError if a channel count is no multiple of `groups` */
  constructor(inChannels: number, outChannels: number, kernelSize: number, options: Conv2dOptions = {}) {
    super();
    const { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true, generator } = options;
    if (inChannels % groups !== 0 || outChannels % groups !== 0) {
      throw new RangeError(
        `Conv2d(${inChannels}, ${outChannels}): both must be multiples of groups = ${groups}.`,
      );
    }
    this.#stride = [stride, stride];
    this.#padding = [padding, padding];
    this.#dilation = [dilation, dilation];
    this.#groups = groups;
    this.#depthwise = groups > 1 && groups === inChannels && groups === outChannels;
    const shape = [outChannels, inChannels / groups, kernelSize, kernelSize];
    this.weight = this.parameter(zeros(shape));
    this.bias = bias ? this.parameter(zeros([outChannels])) : null;
    resetLayer_(this.weight, this.bias, { generator });
  }

  forward(x: Tensor): Tensor {
    const [weight, bias] = [forProduct(this.weight), forProduct(this.bias)];
    const geometry = [this.#stride, this.#padding, this.#dilation] as const;
    if (this.#depthwise && this.#dilation[0] > 1 && x.device.startsWith('cuda')) {
      // cuDNN takes six times as long for it with channels last as libtorch's kernel for planes; turning there and back
      // is a twentieth of what that saves.
      const y = ops.conv2d(x.contiguous(), weight, bias, ...geometry, this.#groups);
      return y.contiguous({ memoryFormat: 'channelsLast' });
    }
    if (this.#depthwise) {
      // Libtorch's own kernel for this case is several times slower on the CPU.
      return ops.call('pgpc::depthwise_conv2d', x, weight, bias, ...geometry) as Tensor;
    }
    return ops.conv2d(x, weight, bias, ...geometry, this.#groups);
  }
}
