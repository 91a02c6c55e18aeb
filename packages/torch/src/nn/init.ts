// Starting values of parameters, with PyTorch's names and formulas; all fill their tensor in place.

import { noGrad } from '../autograd.js';
import { full } from '../factories.js';
import type { Generator } from '../generator.js';
import { ops } from '../ops.js';
import { type Tensor, tidy } from '../tensor.js';

/** Where random values come from. */
export interface GeneratorOption {
  /** The generator to draw from; the global one by default. */
  generator?: Generator;
}

export interface KaimingOptions extends GeneratorOption {
  /** Which fan to keep the variance of: inputs (forward pass) or outputs (backward pass). */
  mode?: 'fanIn' | 'fanOut';
  /** Negative slope of the rectifier that follows; 0 is ReLU. */
  a?: number;
}

/** Fills with one value. */
export function constant_(tensor: Tensor, value: number): Tensor {
  return noGrad(() => tensor.fill_(value));
}

/** Fills from the uniform distribution over [min, max). */
export function uniform_(
  tensor: Tensor,
  min: number,
  max: number,
  { generator }: GeneratorOption = {},
): Tensor {
  return noGrad(() => tensor.uniform_(min, max, { generator }));
}

/** Fills from the normal distribution. */
export function normal_(
  tensor: Tensor,
  mean: number,
  std: number,
  { generator }: GeneratorOption = {},
): Tensor {
  return noGrad(() => tensor.normal_(mean, std, { generator }));
}

export interface TruncNormalOptions extends GeneratorOption {
  mean?: number;
  std?: number;
  /** Absolute bounds of the values, not multiples of `std`. */
  min?: number;
  max?: number;
}

/** Fills from the normal distribution cut to [min, max], by inverting its distribution function. */
export function truncNormal_(tensor: Tensor, options: TruncNormalOptions = {}): Tensor {
  const { mean = 0, std = 1, min = -2, max = 2, generator } = options;
  tidy(() =>
    noGrad(() => {
      const scaledErf = (bound: number) =>
        full([], (bound - mean) / (std * Math.SQRT2), { dtype: 'float64' })
          .erf()
          .item();
      tensor.uniform_(scaledErf(min), scaledErf(max), { generator });
      tensor
        .erfinv_()
        .mul_(std * Math.SQRT2)
        .add_(mean)
        .clamp_(min, max);
    }),
  );
  return tensor;
}

/** Fills from the normal distribution of standard deviation sqrt(2 / ((1 + a^2) fan)) (He et al. 2015, eq 10, 15). */
export function kaimingNormal_(weight: Tensor, { generator, ...options }: KaimingOptions = {}): Tensor {
  return normal_(weight, 0, kaimingStd(weight, options), { generator });
}

/** As `kaimingNormal_`, from the uniform distribution of the same standard deviation. */
export function kaimingUniform_(weight: Tensor, { generator, ...options }: KaimingOptions = {}): Tensor {
  const bound = Math.sqrt(3) * kaimingStd(weight, options);
  return uniform_(weight, -bound, bound, { generator });
}

export interface XavierOptions extends GeneratorOption {
  /** Factor of the standard deviation. */
  gain?: number;
}

/** Fills from the normal distribution of standard deviation gain sqrt(2 / (fan in + fan out)) (Glorot & Bengio 2010). */
export function xavierNormal_(weight: Tensor, { gain = 1, generator }: XavierOptions = {}): Tensor {
  return normal_(weight, 0, gain * xavierStd(weight), { generator });
}

/** As `xavierNormal_`, from the uniform distribution of the same standard deviation. */
export function xavierUniform_(weight: Tensor, { gain = 1, generator }: XavierOptions = {}): Tensor {
  const bound = Math.sqrt(3) * gain * xavierStd(weight);
  return uniform_(weight, -bound, bound, { generator });
}

/**
 * Fills (rows, ...columns) with orthogonal rows, or where there are more rows than columns with orthogonal columns
 * (Saxe et al. 2013).
 */
export function orthogonal_(weight: Tensor, { gain = 1, generator }: XavierOptions = {}): Tensor {
  if (weight.ndim < 2) {
    throw new Error(`orthogonal_ needs two axes at least, but the shape is [${weight.shape}].`);
  }
  tidy(() =>
    noGrad(() => {
      const rows = weight.shape[0]!;
      const drawn = weight.newEmpty([rows, weight.numel / rows]).normal_(0, 1, { generator });
      const tall = rows < drawn.shape[1]!;
      const [q, r] = ops.linalgQr(tall ? drawn.t() : drawn);
      const signed = q.mul(r.diagonal().sign());
      weight.copy_((tall ? signed.t() : signed).reshape(weight.shape).mul(gain));
    }),
  );
  return weight;
}

function xavierStd(weight: Tensor): number {
  return Math.sqrt(2 / (fan(weight, 'fanIn') + fan(weight, 'fanOut')));
}

/**
 * Fills the weight and bias of a linear or convolution layer as PyTorch's layers do when they are made: both
 * uniform within 1 / sqrt(fan in).
 */
export function resetLayer_(weight: Tensor, bias: Tensor | null, options: GeneratorOption): void {
  kaimingUniform_(weight, { a: Math.sqrt(5), ...options });
  const bound = 1 / Math.sqrt(fan(weight, 'fanIn'));
  if (bias) uniform_(bias, -bound, bound, options);
}

function kaimingStd(weight: Tensor, { mode = 'fanIn', a = 0 }: KaimingOptions): number {
  return Math.sqrt(2 / ((1 + a * a) * fan(weight, mode)));
}

/** Connections into or out of one unit of a weight (out, in / groups, ...kernel). */
function fan(weight: Tensor, mode: 'fanIn' | 'fanOut'): number {
  const [outputs, inputs, ...kernel] = weight.shape;
  if (outputs === undefined || inputs === undefined) {
    throw new Error(`The fan of a weight needs its two first axes, but the shape is [${weight.shape}].`);
  }
  return kernel.reduce((product, size) => product * size, mode === 'fanIn' ? inputs : outputs);
}
