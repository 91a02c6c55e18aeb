// Losses as layers, for programs that choose one by its object; each runs its function of losses.ts.

import type { Tensor } from '../tensor.js';
import {
  type BceOptions,
  type BceWithLogitsOptions,
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  type CrossEntropyOptions,
  type CtcOptions,
  cosineEmbeddingLoss,
  crossEntropy,
  ctcLoss,
  type HuberOptions,
  hingeEmbeddingLoss,
  huberLoss,
  type KlDivOptions,
  klDiv,
  l1Loss,
  type MarginOptions,
  marginRankingLoss,
  mseLoss,
  type NllOptions,
  nllLoss,
  type PoissonNllOptions,
  poissonNllLoss,
  type ReductionOption,
  type SmoothL1Options,
  smoothL1Loss,
  softMarginLoss,
  type TripletMarginOptions,
  tripletMarginLoss,
} from './losses.js';
import { Module } from './module.js';

/** What a loss compares: a prediction and its target. */
type Pair = [input: Tensor, target: Tensor];

/** A loss with options, whose weights are buffers: they move with the module and are part of its state. */
abstract class Loss<Options extends object, Args extends unknown[] = Pair> extends Module<Args> {
  protected readonly options: Options;

  constructor(options: Options = {} as Options) {
    super();
    this.options = options;
  }

  /** The factors that the options have under a name, marked as a buffer. */
  protected factors(name: keyof Options): Tensor | null {
    const value = this.options[name] as Tensor | null | undefined;
    return value ? this.buffer(value) : null;
  }
}

/** {@link crossEntropy} of scores (B, C, ...sizes) and classes (B, ...sizes). */
export class CrossEntropyLoss extends Loss<CrossEntropyOptions> {
  readonly weight = this.factors('weight');

  forward(input: Tensor, target: Tensor): Tensor {
    return crossEntropy(input, target, this.options);
  }
}

/** {@link nllLoss} of log-probabilities (B, C, ...sizes) and classes (B, ...sizes). */
export class NLLLoss extends Loss<NllOptions> {
  readonly weight = this.factors('weight');

  forward(input: Tensor, target: Tensor): Tensor {
    return nllLoss(input, target, this.options);
  }
}

/** {@link mseLoss}: squared differences. */
export class MSELoss extends Loss<ReductionOption> {
  forward(input: Tensor, target: Tensor): Tensor {
    return mseLoss(input, target, this.options);
  }
}

/** {@link l1Loss}: absolute differences. */
export class L1Loss extends Loss<ReductionOption> {
  forward(input: Tensor, target: Tensor): Tensor {
    return l1Loss(input, target, this.options);
  }
}

/** {@link smoothL1Loss}: squares near 0, lines beyond `beta`. */
export class SmoothL1Loss extends Loss<SmoothL1Options> {
  forward(input: Tensor, target: Tensor): Tensor {
    return smoothL1Loss(input, target, this.options);
  }
}

/** {@link huberLoss}: squares near 0, lines beyond `delta`. */
export class HuberLoss extends Loss<HuberOptions> {
  forward(input: Tensor, target: Tensor): Tensor {
    return huberLoss(input, target, this.options);
  }
}

/** {@link binaryCrossEntropy} of probabilities. */
export class BCELoss extends Loss<BceOptions> {
  readonly weight = this.factors('weight');

  forward(input: Tensor, target: Tensor): Tensor {
    return binaryCrossEntropy(input, target, this.options);
  }
}

/** {@link binaryCrossEntropyWithLogits} of scores. */
export class BCEWithLogitsLoss extends Loss<BceWithLogitsOptions> {
  readonly weight = this.factors('weight');
  readonly posWeight = this.factors('posWeight');

  forward(input: Tensor, target: Tensor): Tensor {
    return binaryCrossEntropyWithLogits(input, target, this.options);
  }
}

/** {@link klDiv} of log-probabilities from probabilities. */
export class KLDivLoss extends Loss<KlDivOptions> {
  forward(input: Tensor, target: Tensor): Tensor {
    return klDiv(input, target, this.options);
  }
}

/** {@link cosineEmbeddingLoss} of two inputs (B, D) and targets 1 or -1. */
export class CosineEmbeddingLoss extends Loss<MarginOptions, [a: Tensor, b: Tensor, target: Tensor]> {
  forward(a: Tensor, b: Tensor, target: Tensor): Tensor {
    return cosineEmbeddingLoss(a, b, target, this.options);
  }
}

/** {@link marginRankingLoss} of two inputs and targets 1 or -1. */
export class MarginRankingLoss extends Loss<MarginOptions, [a: Tensor, b: Tensor, target: Tensor]> {
  forward(a: Tensor, b: Tensor, target: Tensor): Tensor {
    return marginRankingLoss(a, b, target, this.options);
  }
}

/** {@link hingeEmbeddingLoss} of distances and targets 1 or -1. */
export class HingeEmbeddingLoss extends Loss<MarginOptions> {
  forward(input: Tensor, target: Tensor): Tensor {
    return hingeEmbeddingLoss(input, target, this.options);
  }
}

/** {@link softMarginLoss} of scores and targets 1 or -1. */
export class SoftMarginLoss extends Loss<ReductionOption> {
  forward(input: Tensor, target: Tensor): Tensor {
    return softMarginLoss(input, target, this.options);
  }
}

/** {@link tripletMarginLoss} of anchors, positives and negatives (B, D). */
export class TripletMarginLoss extends Loss<
  TripletMarginOptions,
  [anchor: Tensor, positive: Tensor, negative: Tensor]
> {
  forward(anchor: Tensor, positive: Tensor, negative: Tensor): Tensor {
    return tripletMarginLoss(anchor, positive, negative, this.options);
  }
}

/** {@link poissonNllLoss} of rates and counts. */
export class PoissonNLLLoss extends Loss<PoissonNllOptions> {
  forward(input: Tensor, target: Tensor): Tensor {
    return poissonNllLoss(input, target, this.options);
  }
}

/** {@link ctcLoss} of log-probabilities (T, B, C) and targets with their lengths. */
export class CTCLoss extends Loss<
  CtcOptions,
  [logProbs: Tensor, targets: Tensor, inputLengths: readonly number[], targetLengths: readonly number[]]
> {
  forward(
    logProbs: Tensor,
    targets: Tensor,
    inputLengths: readonly number[],
    targetLengths: readonly number[],
  ): Tensor {
    return ctcLoss(logProbs, targets, inputLengths, targetLengths, this.options);
  }
}
