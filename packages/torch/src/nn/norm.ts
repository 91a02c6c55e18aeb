// Normalisation layers: layer norm and batch norm.

import { autocastDtype } from '../autocast.js';
import { noGrad } from '../autograd.js';
import { alone, type World } from '../distributed/world.js';
import { ones, zeros } from '../factories.js';
import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { isRecomputing } from './checkpoint.js';
import { Module } from './module.js';

/** Normalises the last axis, of length `size`, to mean 0 and variance 1, then scales and shifts (Ba et al. 2016). */
export class LayerNorm extends Module {
  /** (size) */
  readonly weight: Tensor;
  /** (size) */
  readonly bias: Tensor;
  readonly #size: number;
  readonly #eps: number;
  readonly #narrow: boolean;

  constructor(
    size: number,
    {
      eps = 1e-5,
      narrow = false,
    }: {
      /** Added to the variance. */
      eps?: number;
      /**
       * Whether autocast may give the result in its 16 bits, rounded once from float32: for layers that are read by
       * products alone, which would otherwise round it one by one.
       */
      narrow?: boolean;
    } = {},
  ) {
    super();
    this.#size = size;
    this.#eps = eps;
    this.#narrow = narrow;
    this.weight = this.parameter(ones([size]));
    this.bias = this.parameter(zeros([size]));
  }

  forward(x: Tensor): Tensor {
    const dtype = autocastDtype();
    // On a GPU autocast does this by itself, on a CPU it does not.
    const wide = dtype === undefined ? x : x.to('float32');
    const normal = ops.layerNorm(wide, [this.#size], this.weight, this.bias, this.#eps);
    return dtype !== undefined && this.#narrow ? normal.to(dtype) : normal;
  }
}

/**
 * Normalises each channel of (B, channels, H, W), then scales and shifts (Ioffe & Szegedy 2015). In training mode
 * by the statistics of the batch, which also move the running ones; in evaluation mode by the running ones.
 */
export class BatchNorm2d extends Module {
  /** (channels) */
  readonly weight: Tensor;
  /** (channels) */
  readonly bias: Tensor;
  /** (channels) */
  readonly runningMean: Tensor;
  /** (channels), of the unbiased variances */
  readonly runningVar: Tensor;
  /** int64 scalar: the number of passes in training mode */
  readonly numBatchesTracked: Tensor;
  /** Whose batches make up the statistics; see `spreadOver`. */
  world: World = alone;
  readonly #eps: number;
  readonly #momentum: number;

  constructor(
    channels: number,
    {
      eps = 1e-5,
      momentum = 0.1,
    }: {
      /** Added to the variance. */
      eps?: number;
      /** The share of the new batch in the running statistics. */
      momentum?: number;
    } = {},
  ) {
    super();
    this.#eps = eps;
    this.#momentum = momentum;
    this.weight = this.parameter(ones([channels]));
    this.bias = this.parameter(zeros([channels]));
    this.runningMean = this.buffer(zeros([channels]));
    this.runningVar = this.buffer(ones([channels]));
    this.numBatchesTracked = this.buffer(zeros([], { dtype: 'int64' }));
  }

  forward(x: Tensor): Tensor {
    // A batch moves the running statistics once, however often it is computed.
    const momentum = isRecomputing() ? 0 : this.#momentum;
    if (this.training && !isRecomputing()) noGrad(() => this.numBatchesTracked.add_(1));
    const { weight, bias, runningMean, runningVar } = this;
    const constants = [weight, bias, runningMean, runningVar, momentum, this.#eps] as const;
    if (this.training && this.world.size > 1) {
      // Sums over all ranks in the dtype of the statistics, whatever autocast has made of the input.
      return (ops.call('pgpc::sync_batch_norm', x.to(weight.dtype), ...constants) as Tensor).to(x.dtype);
    }
    // Of float32 planes on the CPU, libtorch's own takes several times as long.
    if (this.training) return ops.call('pgpc::batch_norm_train', x, ...constants) as Tensor;
    return ops.batchNorm(x, weight, bias, runningMean, runningVar, false, momentum, this.#eps, true);
  }
}
