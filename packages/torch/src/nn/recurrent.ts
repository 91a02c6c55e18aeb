// Recurrent layers over whole sequences: RNN, LSTM and GRU.

import { zeros } from '../factories.js';
import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { checkRate, dropValues } from './dropout.js';
import { type GeneratorOption, uniform_ } from './init.js';
import { Module } from './module.js';
import { named } from './sizes.js';

export interface RecurrentOptions extends GeneratorOption {
  numLayers?: number;
  bias?: boolean;
  /** Whether inputs and outputs are (B, L, ...) rather than (L, B, ...); states are (layers, B, hiddenSize) either way. */
  batchFirst?: boolean;
  /** Share of the values that training drops between layers; drawn from `generator`, too. */
  dropout?: number;
  /** Whether a second layer reads each sequence from its end; outputs have both, side by side. */
  bidirectional?: boolean;
}

/** What an operator over some layers gives: outputs, then the last states. */
type Layers = (
  x: Tensor,
  states: readonly Tensor[],
  weights: readonly Tensor[],
  numLayers: number,
) => [output: Tensor, ...states: Tensor[]];

/**
 * What recurrent layers share. Parameters have PyTorch's names: `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`,
 * the second direction's with `_reverse`, then the next layer's.
 */
abstract class Recurrent<State> extends Module<[x: Tensor, state?: State], [output: Tensor, state: State]> {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly batchFirst: boolean;
  readonly bidirectional: boolean;
  protected readonly bias: boolean;
  readonly #dropout: number;
  readonly #random: GeneratorOption;
  /** Of all layers, as the operators take them. */
  readonly #weights: Tensor[] = [];

  /** @param gates how many rows of hiddenSize each weight has */
  protected constructor(gates: number, inputSize: number, hiddenSize: number, options: RecurrentOptions) {
    super();
    const { numLayers = 1, bias = true, batchFirst = false, bidirectional = false, generator } = options;
    if (!(Number.isSafeInteger(numLayers) && numLayers > 0)) {
      throw new RangeError(
        `${this.constructor.name}'s numLayers must be a whole number from 1: ${numLayers}.`,
      );
    }
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    this.numLayers = numLayers;
    this.bias = bias;
    this.batchFirst = batchFirst;
    this.bidirectional = bidirectional;
    this.#dropout = checkRate(options.dropout ?? 0);
    this.#random = { generator };
    const directions = bidirectional ? ['', '_reverse'] : [''];
    const rows = gates * hiddenSize;
    for (let layer = 0; layer < numLayers; layer++) {
      const columns = layer === 0 ? inputSize : hiddenSize * directions.length;
      for (const direction of directions) {
        const shapes: Record<string, number[]> = {
          weight_ih: [rows, columns],
          weight_hh: [rows, hiddenSize],
        };
        if (bias) Object.assign(shapes, { bias_ih: [rows], bias_hh: [rows] });
        for (const [name, shape] of Object.entries(shapes)) {
          const weight = this.named(`${name}_l${layer}${direction}`, this.parameter(zeros(shape)));
          this.#weights.push(weight);
        }
      }
    }
    const bound = 1 / Math.sqrt(hiddenSize);
    for (const weight of this.#weights) uniform_(weight, -bound, bound, { generator });
  }

  /** The operator that runs some of the layers. */
  protected abstract run(...args: Parameters<Layers>): ReturnType<Layers>;

  /**
   * Runs the layers, all at once, or where values are dropped between them one by one.
   * @param x (L, B, inputSize), with batchFirst (B, L, inputSize)
   * @param states each (layers and directions, B, hiddenSize)
   */
  protected runAll(x: Tensor, states: readonly Tensor[]): [output: Tensor, ...states: Tensor[]] {
    if (!this.training || this.#dropout === 0 || this.numLayers === 1) {
      return this.run(x, states, this.#weights, this.numLayers);
    }
    const perLayer = this.#weights.length / this.numLayers;
    const directions = this.bidirectional ? 2 : 1;
    const last: Tensor[][] = states.map(() => []);
    let output = x;
    for (let layer = 0; layer < this.numLayers; layer++) {
      const input = layer === 0 ? output : dropValues(output, this.#dropout, this.#random);
      const own = states.map((state) => state.narrow(0, layer * directions, directions));
      const weights = this.#weights.slice(layer * perLayer, (layer + 1) * perLayer);
      const [y, ...ends] = this.run(input, own, weights, 1);
      for (const [i, end] of ends.entries()) last[i]!.push(end);
      output = y;
    }
    return [output, ...last.map((ends) => ops.cat(ends, 0))];
  }

  /** A state of zeros for an input. @throws RangeError for an input of another form */
  protected zeroState(x: Tensor): Tensor {
    const batch = x.shape[this.batchFirst ? 0 : 1];
    if (x.ndim !== 3 || x.shape[2] !== this.inputSize) {
      const form = this.batchFirst ? '(batch, length' : '(length, batch';
      throw new RangeError(
        `${this.constructor.name} takes an input of ${form}, ${this.inputSize}), but the shape is [${x.shape}].`,
      );
    }
    const layers = this.numLayers * (this.bidirectional ? 2 : 1);
    return x.newZeros([layers, batch!, this.hiddenSize]);
  }

  override extraRepr(): string {
    const { numLayers, bias, batchFirst, bidirectional } = this;
    const shown: Record<string, unknown> = {};
    if (numLayers !== 1) shown.numLayers = numLayers;
    if (!bias) shown.bias = bias;
    if (batchFirst) shown.batchFirst = batchFirst;
    if (this.#dropout !== 0) shown.dropout = this.#dropout;
    if (bidirectional) shown.bidirectional = bidirectional;
    return [this.inputSize, this.hiddenSize, named(shown)].filter((part) => part !== '').join(', ');
  }
}

/**
 * Long short-term memory (Hochreiter & Schmidhuber 1997).
 *
 * (L, B, inputSize) to [(L, B, hiddenSize), [h, c]], with the last states (layers, B, hiddenSize) of all layers. Takes the
 * first states as a second argument; they are zeros without. Twice the hiddenSize in the output, and two states a layer,
 * if `bidirectional`.
 */
export class LSTM extends Recurrent<[h: Tensor, c: Tensor]> {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    super(4, inputSize, hiddenSize, options);
  }

  forward(x: Tensor, state?: [h: Tensor, c: Tensor]): [output: Tensor, state: [h: Tensor, c: Tensor]] {
    const zero = this.zeroState(x);
    const [output, h, c] = this.runAll(x, state ?? [zero, zero]);
    return [output, [h!, c!]];
  }

  protected run(...[x, states, weights, numLayers]: Parameters<Layers>): ReturnType<Layers> {
    const { bias, bidirectional, batchFirst } = this;
    return ops.lstm(x, states, weights, bias, numLayers, 0, this.training, bidirectional, batchFirst);
  }
}

/** Gated recurrent units (Cho et al. 2014): as {@link LSTM}, with one state. */
export class GRU extends Recurrent<Tensor> {
  constructor(inputSize: number, hiddenSize: number, options: RecurrentOptions = {}) {
    super(3, inputSize, hiddenSize, options);
  }

  forward(x: Tensor, state?: Tensor): [output: Tensor, state: Tensor] {
    const zero = this.zeroState(x);
    const [output, h] = this.runAll(x, [state ?? zero]);
    return [output, h!];
  }

  protected run(...[x, [h], weights, numLayers]: Parameters<Layers>): ReturnType<Layers> {
    const { bias, bidirectional, batchFirst } = this;
    return ops.gru(x, h!, weights, bias, numLayers, 0, this.training, bidirectional, batchFirst);
  }
}

/** h' = tanh(W x + b + U h + c), or with ReLU (Elman 1990): as {@link GRU}. */
export class RNN extends Recurrent<Tensor> {
  readonly #nonlinearity: 'tanh' | 'relu';

  constructor(
    inputSize: number,
    hiddenSize: number,
    { nonlinearity = 'tanh', ...options }: RecurrentOptions & { nonlinearity?: 'tanh' | 'relu' } = {},
  ) {
    super(1, inputSize, hiddenSize, options);
    this.#nonlinearity = nonlinearity;
  }

  forward(x: Tensor, state?: Tensor): [output: Tensor, state: Tensor] {
    const zero = this.zeroState(x);
    const [output, h] = this.runAll(x, [state ?? zero]);
    return [output, h!];
  }

  protected run(...[x, [h], weights, numLayers]: Parameters<Layers>): ReturnType<Layers> {
    const { bias, bidirectional, batchFirst } = this;
    const op = this.#nonlinearity === 'relu' ? ops.rnnRelu : ops.rnnTanh;
    return op(x, h!, weights, bias, numLayers, 0, this.training, bidirectional, batchFirst);
  }
}
