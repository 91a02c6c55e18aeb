// Layers without weights that work value by value.

import type { Tensor } from '../tensor.js';
import { Module } from './module.js';

/** x Phi(x) with the exact normal distribution function, not its tanh approximation (Hendrycks & Gimpel 2016). */
export class GELU extends Module {
  forward(x: Tensor): Tensor {
    return x.gelu();
  }
}

/** max(x, 0) */
export class ReLU extends Module {
  forward(x: Tensor): Tensor {
    return x.relu();
  }
}

/** x itself: the same tensor, not a copy. */
export class Identity extends Module {
  forward(x: Tensor): Tensor {
    return x;
  }
}
