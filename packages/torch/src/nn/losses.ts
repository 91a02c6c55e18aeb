// Losses as functions, with PyTorch's names and defaults; the layers are in loss-modules.ts.

import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';

/** How single losses become one number, or, with `none`, that they do not. */
export type Reduction = 'none' | 'mean' | 'sum';

export interface ReductionOption {
  /** `mean` by default. */
  reduction?: Reduction;
}

// The numbers of libtorch's enum at::Reduction.
const REDUCTIONS: Readonly<Record<Reduction, number>> = { none: 0, mean: 1, sum: 2 };

function codeOf({ reduction = 'mean' }: { reduction?: Reduction }): number {
  const code = REDUCTIONS[reduction];
  if (code === undefined) {
    throw new RangeError(`A loss's reduction is none, mean or sum, not ${reduction}.`);
  }
  return code;
}

/** @throws RangeError where libtorch would stretch one of two tensors to the shape of the other */
function checkSame(name: string, input: Tensor, target: Tensor): void {
  if (String(input.shape) === String(target.shape)) return;
  throw new RangeError(
    `${name}: input and target must have one shape, but the input is [${input.shape}] and the target [${target.shape}].`,
  );
}

export interface CrossEntropyOptions extends ReductionOption {
  /** The target value of places that have no class: their loss is 0 and they do not count in the mean. */
  ignoreIndex?: number;
  /** (C), a factor for each class; `mean` divides by the summed factors of the places that are not ignored. */
  weight?: Tensor | null;
  /** Share of the target that is spread over all classes (Szegedy et al. 2016). */
  labelSmoothing?: number;
}

/**
 * Cross entropy of the softmax over axis 1.
 * @param logits (B, C, ...sizes), or (C)
 * @param target (B, ...sizes), or one: int64 classes 0 ... C-1, or `ignoreIndex`; or shares of the classes, as the logits
 * @returns a scalar, or with reduction `none` the losses in the target's shape; NaN for a mean over no place
 * @throws TorchError if shapes do not agree or a target is out of range
 */
export function crossEntropy(logits: Tensor, target: Tensor, options: CrossEntropyOptions = {}): Tensor {
  const { ignoreIndex = -100, weight = null, labelSmoothing = 0 } = options;
  return ops.crossEntropyLoss(logits, target, weight, codeOf(options), ignoreIndex, labelSmoothing);
}

export type NllOptions = Omit<CrossEntropyOptions, 'labelSmoothing'>;

/** Minus the target's entry of log-probabilities (B, C, ...sizes), or (C); targets as in {@link crossEntropy}. */
export function nllLoss(logProbs: Tensor, target: Tensor, options: NllOptions = {}): Tensor {
  const { ignoreIndex = -100, weight = null } = options;
  return ops.nllLossNd(logProbs, target, weight, codeOf(options), ignoreIndex);
}

/** (input - target)^2 @throws RangeError for other shapes */
export function mseLoss(input: Tensor, target: Tensor, options: ReductionOption = {}): Tensor {
  checkSame('mseLoss', input, target);
  return ops.mseLoss(input, target, codeOf(options));
}

/** |input - target| @throws RangeError for other shapes */
export function l1Loss(input: Tensor, target: Tensor, options: ReductionOption = {}): Tensor {
  checkSame('l1Loss', input, target);
  return ops.l1Loss(input, target, codeOf(options));
}

export interface SmoothL1Options extends ReductionOption {
  /** Where the square becomes a line; 1 by default. */
  beta?: number;
}

/** d^2 / (2 beta) where the difference |d| < beta, else |d| - beta / 2. @throws RangeError for other shapes */
export function smoothL1Loss(input: Tensor, target: Tensor, options: SmoothL1Options = {}): Tensor {
  checkSame('smoothL1Loss', input, target);
  return ops.smoothL1Loss(input, target, codeOf(options), options.beta ?? 1);
}

export interface HuberOptions extends ReductionOption {
  /** Where the square becomes a line; 1 by default. */
  delta?: number;
}

/** d^2 / 2 where the difference |d| < delta, else delta (|d| - delta / 2). @throws RangeError for other shapes */
export function huberLoss(input: Tensor, target: Tensor, options: HuberOptions = {}): Tensor {
  checkSame('huberLoss', input, target);
  return ops.huberLoss(input, target, codeOf(options), options.delta ?? 1);
}

export interface BceOptions extends ReductionOption {
  /** A factor for each loss, of a shape that stretches to theirs. */
  weight?: Tensor | null;
}

/**
 * Cross entropy of probabilities: -t log p - (1 - t) log(1 - p), logarithms not below -100.
 * @throws RangeError for other shapes; TorchError for an input outside of [0, 1]
 */
export function binaryCrossEntropy(input: Tensor, target: Tensor, options: BceOptions = {}): Tensor {
  checkSame('binaryCrossEntropy', input, target);
  return ops.binaryCrossEntropy(input, target, options.weight, codeOf(options));
}

export interface BceWithLogitsOptions extends BceOptions {
  /** A factor for the loss of positive targets, of a shape that stretches to theirs. */
  posWeight?: Tensor | null;
}

/** {@link binaryCrossEntropy} of the sigmoid, without its loss of precision. @throws RangeError for other shapes */
export function binaryCrossEntropyWithLogits(
  input: Tensor,
  target: Tensor,
  options: BceWithLogitsOptions = {},
): Tensor {
  checkSame('binaryCrossEntropyWithLogits', input, target);
  const { weight, posWeight } = options;
  return ops.binaryCrossEntropyWithLogits(input, target, weight, posWeight, codeOf(options));
}

export interface KlDivOptions {
  /** `batchmean` divides the sum by the first axis, which is the divergence; `mean` (the default) by the number of values. */
  reduction?: Reduction | 'batchmean';
  /** Whether the target is given as logarithms, too. */
  logTarget?: boolean;
}

/** Kullback-Leibler divergence t (log t - input) of log-probabilities from probabilities. */
export function klDiv(input: Tensor, target: Tensor, options: KlDivOptions = {}): Tensor {
  const { reduction = 'mean', logTarget = false } = options;
  if (reduction !== 'batchmean') return ops.klDiv(input, target, codeOf({ reduction }), { logTarget });
  return ops.klDiv(input, target, REDUCTIONS.sum, { logTarget }).div(input.shape[0]!);
}

export interface MarginOptions extends ReductionOption {
  margin?: number;
}

/**
 * 1 - cos(a, b) where the target is 1, max(0, cos(a, b) - margin) where it is -1.
 * @param a and b: (B, D), or (D)
 * @param target (B), or one
 */
export function cosineEmbeddingLoss(
  a: Tensor,
  b: Tensor,
  target: Tensor,
  options: MarginOptions = {},
): Tensor {
  return ops.cosineEmbeddingLoss(a, b, target, options.margin ?? 0, codeOf(options));
}

/** max(0, -target (a - b) + margin): a should be larger where the target is 1, smaller where it is -1. */
export function marginRankingLoss(a: Tensor, b: Tensor, target: Tensor, options: MarginOptions = {}): Tensor {
  return ops.marginRankingLoss(a, b, target, options.margin ?? 0, codeOf(options));
}

/** input where the target is 1, max(0, margin - input) where it is -1; the margin is 1 by default. */
export function hingeEmbeddingLoss(input: Tensor, target: Tensor, options: MarginOptions = {}): Tensor {
  return ops.hingeEmbeddingLoss(input, target, options.margin ?? 1, codeOf(options));
}

/** log(1 + exp(-target input)), with targets 1 and -1. */
export function softMarginLoss(input: Tensor, target: Tensor, options: ReductionOption = {}): Tensor {
  checkSame('softMarginLoss', input, target);
  return ops.softMarginLoss(input, target, codeOf(options));
}

export interface TripletMarginOptions extends MarginOptions {
  /** The norm of the distances; 2 by default. */
  p?: number;
  /** Added to the differences; 1e-6 by default. */
  eps?: number;
  /** Whether to take the distance of positive and negative where it is the smaller one. */
  swap?: boolean;
}

/** max(0, d(anchor, positive) - d(anchor, negative) + margin), over (B, D) or (D); the margin is 1 by default. */
export function tripletMarginLoss(
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  options: TripletMarginOptions = {},
): Tensor {
  const { margin = 1, p = 2, eps = 1e-6, swap = false } = options;
  return ops.tripletMarginLoss(anchor, positive, negative, margin, p, eps, swap, codeOf(options));
}

export interface PoissonNllOptions extends ReductionOption {
  /** Whether the input is the logarithm of the rate (the default). */
  logInput?: boolean;
  /** Whether to add Stirling's approximation of log(target!). */
  full?: boolean;
  /** Keeps the logarithm of a rate from 0; 1e-8 by default. */
  eps?: number;
}

/** Minus the log-likelihood of counts under Poisson's distribution, without log(target!) unless `full`. */
export function poissonNllLoss(input: Tensor, target: Tensor, options: PoissonNllOptions = {}): Tensor {
  const { logInput = true, full = false, eps = 1e-8 } = options;
  return ops.poissonNllLoss(input, target, logInput, full, eps, codeOf(options));
}

export interface CtcOptions extends ReductionOption {
  /** The class that stands for no symbol; 0 by default. */
  blank?: number;
  /** Whether infinite losses, of targets longer than their input, become 0. */
  zeroInfinity?: boolean;
}

/**
 * Connectionist temporal classification (Graves et al. 2006): minus the log-probability of all ways to spread a target
 * over an input. `mean` divides each loss by its target's length first.
 * @param logProbs (T, B, C)
 * @param targets (B, S), or all one after the other: int64
 * @param inputLengths of each sample, at most T
 * @param targetLengths of each sample, at most S
 */
export function ctcLoss(
  logProbs: Tensor,
  targets: Tensor,
  inputLengths: readonly number[],
  targetLengths: readonly number[],
  options: CtcOptions = {},
): Tensor {
  const { blank = 0, zeroInfinity = false } = options;
  return ops.ctcLoss(logProbs, targets, inputLengths, targetLengths, blank, codeOf(options), zeroInfinity);
}
