// Rows of a table by their numbers.

import { noGrad } from '../autograd.js';
import { zeros } from '../factories.js';
import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { type GeneratorOption, normal_ } from './init.js';
import { Module } from './module.js';

export interface EmbeddingOptions extends GeneratorOption {
  /** A row that starts at zero and learns nothing; a negative number counts from the end. */
  paddingIdx?: number;
  /** Whether a row's gradient is divided by the number of times that the row was used. */
  scaleGradByFreq?: boolean;
}

/** (...) of int64 row numbers to (..., embeddingDim): a learned vector for each number from 0 to numEmbeddings - 1. */
export class Embedding extends Module {
  /** (numEmbeddings, embeddingDim) */
  readonly weight: Tensor;
  /** The row that learns nothing, or -1 for none. */
  readonly #padding: number;
  readonly #scaled: boolean;

  /** @throws RangeError for a paddingIdx that is no row */
  constructor(numEmbeddings: number, embeddingDim: number, options: EmbeddingOptions = {}) {
    super();
    const { paddingIdx, scaleGradByFreq = false, generator } = options;
    if (paddingIdx !== undefined && !(paddingIdx >= -numEmbeddings && paddingIdx < numEmbeddings)) {
      throw new RangeError(`Embedding's paddingIdx ${paddingIdx} is no row: there are ${numEmbeddings}.`);
    }
    this.#padding = paddingIdx === undefined ? -1 : (paddingIdx + numEmbeddings) % numEmbeddings;
    this.#scaled = scaleGradByFreq;
    this.weight = this.parameter(zeros([numEmbeddings, embeddingDim]));
    normal_(this.weight, 0, 1, { generator });
    if (this.#padding >= 0) noGrad(() => this.weight.select(0, this.#padding).zero_());
  }

  /** @throws TorchError for a number that is no row */
  forward(rows: Tensor): Tensor {
    return ops.embedding(this.weight, rows, this.#padding, this.#scaled);
  }

  override extraRepr(): string {
    const padding = this.#padding < 0 ? '' : `, paddingIdx=${this.#padding}`;
    const scaled = this.#scaled ? ', scaleGradByFreq=true' : '';
    return `${this.weight.shape.join(', ')}${padding}${scaled}`;
  }
}
