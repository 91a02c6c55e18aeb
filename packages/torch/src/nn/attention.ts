// Multi-head attention.

import { zeros } from '../factories.js';
import { ops } from '../ops.js';
import { dims } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { checkRate, dropValues } from './dropout.js';
import { constant_, type GeneratorOption, xavierUniform_ } from './init.js';
import { Linear } from './linear.js';
import { Module } from './module.js';

export interface AttentionOptions extends GeneratorOption {
  /** Share of the attention weights that training drops; drawn from `generator`, too. */
  dropout?: number;
  bias?: boolean;
  /** Features of the keys and of the values; the embedding's by default. */
  kdim?: number;
  vdim?: number;
  /** Whether inputs and output are (B, L, E) rather than (L, B, E). */
  batchFirst?: boolean;
}

export interface AttentionCall {
  /** (B, S) of bool, true where a key is padding that nobody may look at; or of floats, which are added to the scores. */
  keyPaddingMask?: Tensor | null;
  /** (L, S), or (B heads, L, S), of bool, true where a query may not look at a key; or of floats, added to the scores. */
  attnMask?: Tensor | null;
  /** Whether to give the attention weights as well. */
  needWeights?: boolean;
  /** Whether the weights given are the mean over all heads, (B, L, S), rather than (B, heads, L, S). */
  averageAttnWeights?: boolean;
}

/**
 * Attention of several heads side by side (Vaswani et al. 2017).
 *
 * Queries (L, B, embedDim), keys (S, B, kdim) and values (S, B, vdim) to [(L, B, embedDim), the weights or null]. Parameters
 * have PyTorch's names.
 */
export class MultiheadAttention extends Module<
  [query: Tensor, key: Tensor, value: Tensor, options?: AttentionCall],
  [output: Tensor, weights: Tensor | null]
> {
  readonly embedDim: number;
  readonly numHeads: number;
  readonly batchFirst: boolean;
  /** (3 embedDim, embedDim): of queries, keys and values; null if keys or values have another number of features */
  readonly inProjWeight: Tensor | null = null;
  /** (embedDim, embedDim); null where `inProjWeight` is there */
  readonly qProjWeight: Tensor | null = null;
  /** (embedDim, kdim); null where `inProjWeight` is there */
  readonly kProjWeight: Tensor | null = null;
  /** (embedDim, vdim); null where `inProjWeight` is there */
  readonly vProjWeight: Tensor | null = null;
  /** (3 embedDim) */
  readonly inProjBias: Tensor | null;
  readonly outProj: Linear;
  readonly #dropout: number;
  readonly #random: GeneratorOption;

  /** @throws RangeError if the heads do not divide the features */
  constructor(embedDim: number, numHeads: number, options: AttentionOptions = {}) {
    super();
    const { dropout = 0, bias = true, kdim = embedDim, vdim = embedDim, batchFirst = false } = options;
    const { generator } = options;
    if (embedDim % numHeads !== 0) {
      throw new RangeError(`MultiheadAttention's ${embedDim} features do not divide into ${numHeads} heads.`);
    }
    this.embedDim = embedDim;
    this.numHeads = numHeads;
    this.batchFirst = batchFirst;
    this.#dropout = checkRate(dropout);
    this.#random = { generator };
    this.outProj = new Linear(embedDim, embedDim, { bias, generator });
    if (this.outProj.bias) constant_(this.outProj.bias, 0);
    const weight = (rows: number, columns: number) =>
      xavierUniform_(this.parameter(zeros([rows, columns])), { generator });
    if (kdim === embedDim && vdim === embedDim) {
      this.inProjWeight = weight(3 * embedDim, embedDim);
    } else {
      this.qProjWeight = weight(embedDim, embedDim);
      this.kProjWeight = weight(embedDim, kdim);
      this.vProjWeight = weight(embedDim, vdim);
    }
    this.inProjBias = bias ? this.parameter(zeros([3 * embedDim])) : null;
  }

  forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    options: AttentionCall = {},
  ): [output: Tensor, weights: Tensor | null] {
    const { keyPaddingMask = null, attnMask = null, needWeights = true, averageAttnWeights = true } = options;
    const [q, k, v] = this.#projected(query, key, value);
    const [batch, , length, width] = dims(q, 4);
    let scores = q.mul(1 / Math.sqrt(width)).matmul(k.transpose(-2, -1));
    if (attnMask) {
      const { shape } = attnMask;
      scores = masked(
        scores,
        shape.length === 3 ? attnMask.view([batch, -1, shape[1]!, shape[2]!]) : attnMask,
      );
    }
    if (keyPaddingMask) scores = masked(scores, keyPaddingMask.unsqueeze(1).unsqueeze(1));
    const shares = scores.softmax(-1);
    const weights = this.training ? dropValues(shares, this.#dropout, this.#random) : shares;
    const joined = weights.matmul(v).transpose(1, 2).reshape([batch, length, this.embedDim]);
    const output = this.outProj.call(joined);
    const given = averageAttnWeights ? weights.mean([1]) : weights;
    return [this.batchFirst ? output : output.transpose(0, 1), needWeights ? given : null];
  }

  /** Queries, keys and values by head: (B, heads, length, embedDim / heads). */
  #projected(query: Tensor, key: Tensor, value: Tensor): [q: Tensor, k: Tensor, v: Tensor] {
    const weights = this.inProjWeight
      ? this.inProjWeight.chunk(3, 0)
      : [this.qProjWeight!, this.kProjWeight!, this.vProjWeight!];
    const biases = this.inProjBias?.chunk(3, 0);
    const project = (input: Tensor, i: number) => {
      const x = this.batchFirst ? input : input.transpose(0, 1);
      const y = ops.linear(x, weights[i]!, biases?.[i]);
      const [batch, length] = dims(y, 3);
      return y.view([batch, length, this.numHeads, -1]).transpose(1, 2);
    };
    return [project(query, 0), project(key, 1), project(value, 2)];
  }
}

/** Scores without what a mask forbids, or with what it adds. */
function masked(scores: Tensor, mask: Tensor): Tensor {
  return mask.dtype === 'bool' ? scores.maskedFill(mask, -Infinity) : scores.add(mask);
}
