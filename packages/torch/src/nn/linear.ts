// Linear layers.

import { zeros } from '../factories.js';
import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { type GeneratorOption, resetLayer_, uniform_ } from './init.js';
import { Module } from './module.js';
import { forProduct } from './products.js';
import { named } from './sizes.js';

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

  override extraRepr(): string {
    const [outFeatures, inFeatures] = this.weight.shape;
    return named({ inFeatures, outFeatures, bias: this.bias !== null });
  }
}

/** y_k = a^T W_k b + bias_k over the last axes of two inputs: (..., in1Features) and (..., in2Features) to (..., outFeatures). */
export class Bilinear extends Module<[a: Tensor, b: Tensor]> {
  /** (outFeatures, in1Features, in2Features) */
  readonly weight: Tensor;
  /** (outFeatures) */
  readonly bias: Tensor | null;

  constructor(
    in1Features: number,
    in2Features: number,
    outFeatures: number,
    { bias = true, generator }: LinearOptions = {},
  ) {
    super();
    this.weight = this.parameter(zeros([outFeatures, in1Features, in2Features]));
    this.bias = bias ? this.parameter(zeros([outFeatures])) : null;
    const bound = 1 / Math.sqrt(in1Features);
    for (const parameter of this.parameters()) uniform_(parameter, -bound, bound, { generator });
  }

  forward(a: Tensor, b: Tensor): Tensor {
    return ops.bilinear(a, b, this.weight, this.bias);
  }

  override extraRepr(): string {
    const [outFeatures, in1Features, in2Features] = this.weight.shape;
    return named({ in1Features, in2Features, outFeatures, bias: this.bias !== null });
  }
}
