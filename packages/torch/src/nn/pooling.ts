// Pooling layers over (B, D, H, W) with square windows.

import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { Module } from './module.js';

export interface PoolOptions {
  /** Step between windows in pixels; the window's side by default. */
  stride?: number;
  /** Pixels added on every side: zeros for averages (which count them), never chosen for maxima. */
  padding?: number;
}

/** The largest value of each window. */
export class MaxPool2d extends Module {
  readonly #window: [kernel: number[], stride: number[], padding: number[]];

  constructor(kernelSize: number, { stride = kernelSize, padding = 0 }: PoolOptions = {}) {
    super();
    this.#window = [both(kernelSize), both(stride), both(padding)];
  }

  forward(x: Tensor): Tensor {
    return ops.maxPool2d(x, ...this.#window);
  }
}

/** The mean of each window. */
export class AvgPool2d extends Module {
  readonly #window: [kernel: number[], stride: number[], padding: number[]];

  constructor(kernelSize: number, { stride = kernelSize, padding = 0 }: PoolOptions = {}) {
    super();
    this.#window = [both(kernelSize), both(stride), both(padding)];
  }

  forward(x: Tensor): Tensor {
    return ops.avgPool2d(x, ...this.#window);
  }
}

/** Means over a grid of `outputSize` x `outputSize` windows that cover the map, whatever its size. */
export class AdaptiveAvgPool2d extends Module {
  readonly #outputSize: number[];

  constructor(outputSize: number) {
    super();
    this.#outputSize = both(outputSize);
  }

  forward(x: Tensor): Tensor {
    return ops.adaptiveAvgPool2d(x, this.#outputSize);
  }
}

function both(size: number): number[] {
  return [size, size];
}
