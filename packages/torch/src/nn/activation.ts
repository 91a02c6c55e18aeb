// Layers that work value by value or along one axis, most of them without weights.

import { full } from '../factories.js';
import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { Module } from './module.js';
import { named } from './sizes.js';

/** x Phi(x) with the exact normal distribution function (Hendrycks & Gimpel 2016), or its tanh approximation. */
export class GELU extends Module {
  readonly #approximate: 'none' | 'tanh';

  constructor({ approximate = 'none' }: { approximate?: 'none' | 'tanh' } = {}) {
    super();
    this.#approximate = approximate;
  }

  forward(x: Tensor): Tensor {
    return x.gelu({ approximate: this.#approximate });
  }

  override extraRepr(): string {
    return named({ approximate: `'${this.#approximate}'` });
  }
}

/** max(x, 0) */
export class ReLU extends Module {
  forward(x: Tensor): Tensor {
    return x.relu();
  }
}

/** min(max(x, 0), 6) */
export class ReLU6 extends Module {
  forward(x: Tensor): Tensor {
    return x.hardtanh(0, 6);
  }
}

/** x where x >= 0, else `negativeSlope` x. */
export class LeakyReLU extends Module {
  readonly #negativeSlope: number;

  constructor({ negativeSlope = 0.01 }: { negativeSlope?: number } = {}) {
    super();
    this.#negativeSlope = negativeSlope;
  }

  forward(x: Tensor): Tensor {
    return x.leakyRelu(this.#negativeSlope);
  }

  override extraRepr(): string {
    return named({ negativeSlope: this.#negativeSlope });
  }
}

/** x where x >= 0, else a learned slope times x: one for all, or one a channel (axis 1) (He et al. 2015). */
export class PReLU extends Module {
  /** (numParameters) */
  readonly weight: Tensor;

  constructor({ numParameters = 1, init = 0.25 }: { numParameters?: number; init?: number } = {}) {
    super();
    this.weight = this.parameter(full([numParameters], init));
  }

  forward(x: Tensor): Tensor {
    return x.prelu(this.weight);
  }

  override extraRepr(): string {
    return named({ numParameters: this.weight.numel });
  }
}

/** x where x >= 0, else alpha (e^x - 1) (Clevert et al. 2016). */
export class ELU extends Module {
  readonly #alpha: number;

  constructor({ alpha = 1 }: { alpha?: number } = {}) {
    super();
    this.#alpha = alpha;
  }

  forward(x: Tensor): Tensor {
    return x.elu(this.#alpha);
  }

  override extraRepr(): string {
    return named({ alpha: this.#alpha });
  }
}

/** max(x, 0) + min(0, alpha (e^(x / alpha) - 1)) (Barron 2017). */
export class CELU extends Module {
  readonly #alpha: number;

  constructor({ alpha = 1 }: { alpha?: number } = {}) {
    super();
    this.#alpha = alpha;
  }

  forward(x: Tensor): Tensor {
    return x.celu(this.#alpha);
  }

  override extraRepr(): string {
    return named({ alpha: this.#alpha });
  }
}

/** A scaled ELU that keeps mean 0 and variance 1 (Klambauer et al. 2017). */
export class SELU extends Module {
  forward(x: Tensor): Tensor {
    return x.selu();
  }
}

/** x sigmoid(x), also called swish. */
export class SiLU extends Module {
  forward(x: Tensor): Tensor {
    return x.silu();
  }
}

/** x tanh(softplus(x)) (Misra 2019). */
export class Mish extends Module {
  forward(x: Tensor): Tensor {
    return x.mish();
  }
}

/** x min(max(x + 3, 0), 6) / 6 (Howard et al. 2019). */
export class Hardswish extends Module {
  forward(x: Tensor): Tensor {
    return x.hardswish();
  }
}

/** min(max(x + 3, 0), 6) / 6 */
export class Hardsigmoid extends Module {
  forward(x: Tensor): Tensor {
    return x.hardsigmoid();
  }
}

/** x cut to [minVal, maxVal]. */
export class Hardtanh extends Module {
  readonly #bounds: { readonly minVal: number; readonly maxVal: number };

  /** @throws RangeError unless minVal < maxVal */
  constructor({ minVal = -1, maxVal = 1 }: { minVal?: number; maxVal?: number } = {}) {
    super();
    if (!(minVal < maxVal)) {
      throw new RangeError(
        `Hardtanh's minVal must be below its maxVal, but they are ${minVal} and ${maxVal}.`,
      );
    }
    this.#bounds = { minVal, maxVal };
  }

  forward(x: Tensor): Tensor {
    return x.hardtanh(this.#bounds.minVal, this.#bounds.maxVal);
  }

  override extraRepr(): string {
    return named(this.#bounds);
  }
}

/** log(1 + e^(beta x)) / beta, and x itself where beta x > threshold. */
export class Softplus extends Module {
  readonly #settings: { readonly beta: number; readonly threshold: number };

  constructor({ beta = 1, threshold = 20 }: { beta?: number; threshold?: number } = {}) {
    super();
    this.#settings = { beta, threshold };
  }

  forward(x: Tensor): Tensor {
    return x.softplus(this.#settings.beta, this.#settings.threshold);
  }

  override extraRepr(): string {
    return named(this.#settings);
  }
}

/** x / (1 + |x|) */
export class Softsign extends Module {
  forward(x: Tensor): Tensor {
    return x.div(x.abs().add(1));
  }
}

/** 1 / (1 + e^-x) */
export class Sigmoid extends Module {
  forward(x: Tensor): Tensor {
    return x.sigmoid();
  }
}

/** log(sigmoid(x)), without its loss of precision. */
export class LogSigmoid extends Module {
  forward(x: Tensor): Tensor {
    return x.logSigmoid();
  }
}

/** The hyperbolic tangent. */
export class Tanh extends Module {
  forward(x: Tensor): Tensor {
    return x.tanh();
  }
}

/** Shares along an axis that add up to 1. */
export class Softmax extends Module {
  readonly #dim: number;

  constructor(dim: number) {
    super();
    this.#dim = dim;
  }

  forward(x: Tensor): Tensor {
    return x.softmax(this.#dim);
  }

  override extraRepr(): string {
    return named({ dim: this.#dim });
  }
}

/** The logarithms of {@link Softmax}, without its loss of precision. */
export class LogSoftmax extends Module {
  readonly #dim: number;

  constructor(dim: number) {
    super();
    this.#dim = dim;
  }

  forward(x: Tensor): Tensor {
    return x.logSoftmax(this.#dim);
  }

  override extraRepr(): string {
    return named({ dim: this.#dim });
  }
}

/** The softmax of -x. */
export class Softmin extends Module {
  readonly #dim: number;

  constructor(dim: number) {
    super();
    this.#dim = dim;
  }

  forward(x: Tensor): Tensor {
    return x.neg().softmax(this.#dim);
  }

  override extraRepr(): string {
    return named({ dim: this.#dim });
  }
}

/** The first half of an axis times the sigmoid of the second (Dauphin et al. 2017). */
export class GLU extends Module {
  readonly #dim: number;

  constructor({ dim = -1 }: { dim?: number } = {}) {
    super();
    this.#dim = dim;
  }

  forward(x: Tensor): Tensor {
    return ops.glu(x, this.#dim);
  }

  override extraRepr(): string {
    return named({ dim: this.#dim });
  }
}

/** x itself: the same tensor, not a copy. */
export class Identity extends Module {
  forward(x: Tensor): Tensor {
    return x;
  }
}
