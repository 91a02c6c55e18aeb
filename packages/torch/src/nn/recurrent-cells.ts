// Recurrent layers over one step of a sequence: for loops of one's own.

import { zeros } from '../factories.js';
import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { type GeneratorOption, uniform_ } from './init.js';
import { Module } from './module.js';

export interface CellOptions extends GeneratorOption {
  bias?: boolean;
}

/** What cells share; the weights have PyTorch's names. */
abstract class Cell<State> extends Module<[x: Tensor, state?: State], State> {
  /** (gates hiddenSize, inputSize) */
  readonly weightIh: Tensor;
  /** (gates hiddenSize, hiddenSize) */
  readonly weightHh: Tensor;
  /** (gates hiddenSize) */
  readonly biasIh: Tensor | null;
  /** (gates hiddenSize) */
  readonly biasHh: Tensor | null;

  protected constructor(
    gates: number,
    inputSize: number,
    hiddenSize: number,
    { bias = true, generator }: CellOptions,
  ) {
    super();
    const rows = gates * hiddenSize;
    this.weightIh = this.parameter(zeros([rows, inputSize]));
    this.weightHh = this.parameter(zeros([rows, hiddenSize]));
    this.biasIh = bias ? this.parameter(zeros([rows])) : null;
    this.biasHh = bias ? this.parameter(zeros([rows])) : null;
    const bound = 1 / Math.sqrt(hiddenSize);
    for (const parameter of this.parameters()) uniform_(parameter, -bound, bound, { generator });
  }

  /** All weights, as the operators take them. */
  protected get weights() {
    return [this.weightIh, this.weightHh, this.biasIh, this.biasHh] as const;
  }

  protected zeroState(x: Tensor): Tensor {
    return x.newZeros([x.shape[0]!, this.weightHh.shape[1]!]);
  }

  override extraRepr(): string {
    const bias = this.biasIh ? '' : ', bias=false';
    return `${this.weightIh.shape[1]}, ${this.weightHh.shape[1]}${bias}`;
  }
}

/** One step of an LSTM: (B, inputSize), and the state [h, c] of (B, hiddenSize), zeros without, to the next [h, c]. */
export class LSTMCell extends Cell<[h: Tensor, c: Tensor]> {
  constructor(inputSize: number, hiddenSize: number, options: CellOptions = {}) {
    super(4, inputSize, hiddenSize, options);
  }

  forward(x: Tensor, state?: [h: Tensor, c: Tensor]): [h: Tensor, c: Tensor] {
    const zero = this.zeroState(x);
    return ops.lstmCell(x, state ?? [zero, zero], ...this.weights);
  }
}

/** One step of a GRU: (B, inputSize), and the state (B, hiddenSize), zeros without, to the next state. */
export class GRUCell extends Cell<Tensor> {
  constructor(inputSize: number, hiddenSize: number, options: CellOptions = {}) {
    super(3, inputSize, hiddenSize, options);
  }

  forward(x: Tensor, state?: Tensor): Tensor {
    return ops.gruCell(x, state ?? this.zeroState(x), ...this.weights);
  }
}

/** One step of an RNN: (B, inputSize), and the state (B, hiddenSize), zeros without, to the next state. */
export class RNNCell extends Cell<Tensor> {
  readonly #nonlinearity: 'tanh' | 'relu';

  constructor(
    inputSize: number,
    hiddenSize: number,
    { nonlinearity = 'tanh', ...options }: CellOptions & { nonlinearity?: 'tanh' | 'relu' } = {},
  ) {
    super(1, inputSize, hiddenSize, options);
    this.#nonlinearity = nonlinearity;
  }

  forward(x: Tensor, state?: Tensor): Tensor {
    const op = this.#nonlinearity === 'relu' ? ops.rnnReluCell : ops.rnnTanhCell;
    return op(x, state ?? this.zeroState(x), ...this.weights);
  }

  override extraRepr(): string {
    return super.extraRepr() + (this.#nonlinearity === 'tanh' ? '' : `, nonlinearity=${this.#nonlinearity}`);
  }
}
