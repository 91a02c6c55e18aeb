// Normalisation by the values of a position or of a batch: layer norm and batch norm.

import { autocastDtype } from '../autocast.js';
import { noGrad } from '../autograd.js';
import { alone, type World } from '../distributed/world.js';
import { ones, zeros } from '../factories.js';
import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { isRecomputing } from './checkpoint.js';
import { Module } from './module.js';
import { named, written } from './sizes.js';

/**
 * Normalises the last axis, of length `size`, or the last axes together, of these lengths, to mean 0 and variance 1, then
 * scales and shifts (Ba et al. 2016).
 */
export class LayerNorm extends Module {
  /** (...size) */
  readonly weight: Tensor;
  /** (...size) */
  readonly bias: Tensor;
  readonly #size: readonly number[];
  readonly #eps: number;
  readonly #narrow: boolean;

  constructor(
    size: number | readonly number[],
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
    this.#size = typeof size === 'number' ? [size] : [...size];
    this.#eps = eps;
    this.#narrow = narrow;
    this.weight = this.parameter(ones(this.#size));
    this.bias = this.parameter(zeros(this.#size));
  }

  forward(x: Tensor): Tensor {
    const dtype = autocastDtype();
    // On a GPU autocast does this by itself, on a CPU it does not.
    const wide = dtype === undefined ? x : x.to('float32');
    const normal = ops.layerNorm(wide, this.#size, this.weight, this.bias, this.#eps);
    return dtype !== undefined && this.#narrow ? normal.to(dtype) : normal;
  }

  override extraRepr(): string {
    return `${written(this.#size)}, ${named({ eps: this.#eps, elementwiseAffine: true })}`;
  }
}

/**
 * Normalises each channel (axis 1), then scales and shifts (Ioffe & Szegedy 2015). In training mode by the statistics of
 * the batch, which also move the running ones; in evaluation mode by the running ones.
 */
export abstract class BatchNorm extends Module {
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

  /** The numbers of axes that an input may have. */
  protected abstract get axes(): readonly number[];

  /** @throws RangeError for an input of another number of axes */
  forward(x: Tensor): Tensor {
    if (!this.axes.includes(x.ndim)) {
      throw new RangeError(
        `${this.constructor.name} takes an input of ${this.axes.join(' or ')} axes, but the shape is [${x.shape}].`,
      );
    }
    // A batch moves the running statistics once, however often it is computed.
    const momentum = isRecomputing() ? 0 : this.#momentum;
    if (this.training && !isRecomputing()) noGrad(() => this.numBatchesTracked.add_(1));
    const { weight, bias, runningMean, runningVar } = this;
    const constants = [weight, bias, runningMean, runningVar, momentum, this.#eps] as const;
    if (this.training && this.world.size > 1) {
      // Sums over all ranks in the dtype of the statistics, whatever autocast has made of the input.
      const planes = x.ndim === 4 ? x : x.reshape([x.shape[0]!, x.shape[1]!, -1, 1]);
      const y = ops.call('pgpc::sync_batch_norm', planes.to(weight.dtype), ...constants) as Tensor;
      return (x.ndim === 4 ? y : y.view(x.shape)).to(x.dtype);
    }
    // Of float32 planes on the CPU, libtorch's own takes several times as long.
    if (this.training) return ops.call('pgpc::batch_norm_train', x, ...constants) as Tensor;
    return ops.batchNorm(x, weight, bias, runningMean, runningVar, false, momentum, this.#eps, true);
  }

  override extraRepr(): string {
    const [eps, momentum] = [this.#eps, this.#momentum];
    return `${this.weight.numel}, ${named({ eps, momentum, affine: true, trackRunningStats: true })}`;
  }
}

/** Batch norm of (B, channels) or (B, channels, L). */
export class BatchNorm1d extends BatchNorm {
  protected get axes() {
    return [2, 3];
  }
}

/** Batch norm of (B, channels, H, W). */
export class BatchNorm2d extends BatchNorm {
  protected get axes() {
    return [4];
  }
}

/** Batch norm of (B, channels, D, H, W). */
export class BatchNorm3d extends BatchNorm {
  protected get axes() {
    return [5];
  }
}
