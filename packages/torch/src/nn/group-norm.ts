// Normalisation by the values of one sample: group norm and instance norm.

import { autocastDtype } from '../autocast.js';
import { ones, zeros } from '../factories.js';
import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { isRecomputing } from './checkpoint.js';
import { Module } from './module.js';
import { named } from './sizes.js';

/** Normalises the channels (axis 1) of each sample in groups, then scales and shifts each channel (Wu & He 2018). */
export class GroupNorm extends Module {
  /** (numChannels); null without `affine` */
  readonly weight: Tensor | null;
  /** (numChannels); null without `affine` */
  readonly bias: Tensor | null;
  readonly #groups: number;
  readonly #channels: number;
  readonly #eps: number;

  /** @throws RangeError if the groups do not divide the channels */
  constructor(
    numGroups: number,
    numChannels: number,
    {
      eps = 1e-5,
      affine = true,
    }: {
      /** Added to the variance. */
      eps?: number;
      /** Whether to scale and shift. */
      affine?: boolean;
    } = {},
  ) {
    super();
    if (numChannels % numGroups !== 0) {
      throw new RangeError(`GroupNorm's ${numChannels} channels do not divide into ${numGroups} groups.`);
    }
    this.#groups = numGroups;
    this.#channels = numChannels;
    this.#eps = eps;
    this.weight = affine ? this.parameter(ones([numChannels])) : null;
    this.bias = affine ? this.parameter(zeros([numChannels])) : null;
  }

  forward(x: Tensor): Tensor {
    // On a GPU autocast does this by itself, on a CPU it does not.
    const wide = autocastDtype() === undefined ? x : x.to('float32');
    return ops.groupNorm(wide, this.#groups, this.weight, this.bias, this.#eps);
  }

  override extraRepr(): string {
    return `${this.#groups}, ${this.#channels}, ${named({ eps: this.#eps, affine: this.weight !== null })}`;
  }
}

export interface InstanceNormOptions {
  /** Added to the variance. */
  eps?: number;
  /** The share of the new batch in the running statistics. */
  momentum?: number;
  /** Whether to scale and shift. */
  affine?: boolean;
  /** Whether to keep running statistics, which evaluation mode then uses. */
  trackRunningStats?: boolean;
}

/** Normalises each channel of each sample (Ulyanov et al. 2016). */
abstract class InstanceNorm extends Module {
  /** (numFeatures); null without `affine` */
  readonly weight: Tensor | null;
  /** (numFeatures); null without `affine` */
  readonly bias: Tensor | null;
  /** (numFeatures); null without `trackRunningStats` */
  readonly runningMean: Tensor | null;
  /** (numFeatures), of the unbiased variances; null without `trackRunningStats` */
  readonly runningVar: Tensor | null;
  /** int64 scalar, as in PyTorch always 0; null without `trackRunningStats` */
  readonly numBatchesTracked: Tensor | null;
  readonly #features: number;
  readonly #eps: number;
  readonly #momentum: number;

  constructor(numFeatures: number, options: InstanceNormOptions = {}) {
    super();
    const { eps = 1e-5, momentum = 0.1, affine = false, trackRunningStats = false } = options;
    this.#features = numFeatures;
    this.#eps = eps;
    this.#momentum = momentum;
    this.weight = affine ? this.parameter(ones([numFeatures])) : null;
    this.bias = affine ? this.parameter(zeros([numFeatures])) : null;
    this.runningMean = trackRunningStats ? this.buffer(zeros([numFeatures])) : null;
    this.runningVar = trackRunningStats ? this.buffer(ones([numFeatures])) : null;
    this.numBatchesTracked = trackRunningStats ? this.buffer(zeros([], { dtype: 'int64' })) : null;
  }

  /** Axes of an input with its batch. */
  protected abstract get axes(): number;

  /** @throws RangeError for an input of another number of axes or channels */
  forward(x: Tensor): Tensor {
    if (x.ndim !== this.axes || x.shape[1] !== this.#features) {
      throw new RangeError(
        `${this.constructor.name}(${this.#features}) takes an input of ${this.axes} axes with ${this.#features} ` +
          `channels, but the shape is [${x.shape}].`,
      );
    }
    const { weight, bias, runningMean, runningVar } = this;
    const ofInput = this.training || runningMean === null;
    const momentum = isRecomputing() ? 0 : this.#momentum;
    return ops.instanceNorm(x, weight, bias, runningMean, runningVar, ofInput, momentum, this.#eps, true);
  }

  override extraRepr(): string {
    const [eps, momentum] = [this.#eps, this.#momentum];
    const [affine, trackRunningStats] = [this.weight !== null, this.runningMean !== null];
    return `${this.#features}, ${named({ eps, momentum, affine, trackRunningStats })}`;
  }
}

/** Instance norm of (B, numFeatures, L). */
export class InstanceNorm1d extends InstanceNorm {
  protected get axes() {
    return 3;
  }
}

/** Instance norm of (B, numFeatures, H, W). */
export class InstanceNorm2d extends InstanceNorm {
  protected get axes() {
    return 4;
  }
}

/** Instance norm of (B, numFeatures, D, H, W). */
export class InstanceNorm3d extends InstanceNorm {
  protected get axes() {
    return 5;
  }
}
