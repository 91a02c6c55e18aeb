// Layers of the transformer (Vaswani et al. 2017), and stacks of them.

import type { Tensor } from '../tensor.js';
import { MultiheadAttention } from './attention.js';
import { ModuleList } from './containers.js';
import { Dropout } from './dropout.js';
import type { GeneratorOption } from './init.js';
import { Linear } from './linear.js';
import { Module } from './module.js';
import { LayerNorm } from './norm.js';

export interface TransformerLayerOptions extends GeneratorOption {
  dimFeedforward?: number;
  /** Share of the values that training drops; drawn from `generator`, too. */
  dropout?: number;
  activation?: 'relu' | 'gelu';
  layerNormEps?: number;
  /** Whether inputs and output are (B, L, E) rather than (L, B, E). */
  batchFirst?: boolean;
  /** Whether each part is normalised before it rather than after. */
  normFirst?: boolean;
}

export interface EncoderMasks {
  /** (L, L), or (B heads, L, L): see `AttentionCall.attnMask`. */
  mask?: Tensor | null;
  /** (B, L): see `AttentionCall.keyPaddingMask`. */
  keyPaddingMask?: Tensor | null;
}

/** Self-attention, then two linear layers; around each a residual connection, dropout and layer norm. */
export class TransformerEncoderLayer extends Module<[x: Tensor, masks?: EncoderMasks]> {
  readonly selfAttn: MultiheadAttention;
  readonly linear1: Linear;
  readonly dropout: Dropout;
  readonly linear2: Linear;
  readonly norm1: LayerNorm;
  readonly norm2: LayerNorm;
  readonly dropout1: Dropout;
  readonly dropout2: Dropout;
  readonly #activation: 'relu' | 'gelu';
  readonly #normFirst: boolean;

  constructor(dModel: number, numHeads: number, options: TransformerLayerOptions = {}) {
    super();
    const { dimFeedforward = 2048, dropout = 0.1, activation = 'relu', layerNormEps = 1e-5 } = options;
    const { batchFirst = false, normFirst = false, generator } = options;
    this.#activation = activation;
    this.#normFirst = normFirst;
    this.selfAttn = new MultiheadAttention(dModel, numHeads, { dropout, batchFirst, generator });
    this.linear1 = new Linear(dModel, dimFeedforward, { generator });
    this.dropout = new Dropout(dropout, { generator });
    this.linear2 = new Linear(dimFeedforward, dModel, { generator });
    this.norm1 = new LayerNorm(dModel, { eps: layerNormEps });
    this.norm2 = new LayerNorm(dModel, { eps: layerNormEps });
    this.dropout1 = new Dropout(dropout, { generator });
    this.dropout2 = new Dropout(dropout, { generator });
  }

  /** @param x (L, B, dModel), with batchFirst (B, L, dModel) */
  forward(x: Tensor, masks: EncoderMasks = {}): Tensor {
    if (this.#normFirst) {
      const y = x.add(this.#attend(this.norm1.call(x), masks));
      return y.add(this.#feed(this.norm2.call(y)));
    }
    const y = this.norm1.call(x.add(this.#attend(x, masks)));
    return this.norm2.call(y.add(this.#feed(y)));
  }

  #attend(x: Tensor, { mask, keyPaddingMask }: EncoderMasks): Tensor {
    const [y] = this.selfAttn.call(x, x, x, { attnMask: mask, keyPaddingMask, needWeights: false });
    return this.dropout1.call(y);
  }

  #feed(x: Tensor): Tensor {
    const wide = this.linear1.call(x);
    const y = this.linear2.call(this.dropout.call(wide[this.#activation]()));
    return this.dropout2.call(y);
  }
}

export interface DecoderMasks {
  /** Of the attention to the target itself: see `AttentionCall.attnMask`. */
  tgtMask?: Tensor | null;
  /** Of the attention to the memory. */
  memoryMask?: Tensor | null;
  /** (B, L): see `AttentionCall.keyPaddingMask`. */
  tgtKeyPaddingMask?: Tensor | null;
  /** (B, S) */
  memoryKeyPaddingMask?: Tensor | null;
}

/** Self-attention, attention to an encoder's output, then two linear layers, each as in the encoder's layer. */
export class TransformerDecoderLayer extends Module<[x: Tensor, memory: Tensor, masks?: DecoderMasks]> {
  readonly selfAttn: MultiheadAttention;
  readonly multiheadAttn: MultiheadAttention;
  readonly linear1: Linear;
  readonly dropout: Dropout;
  readonly linear2: Linear;
  readonly norm1: LayerNorm;
  readonly norm2: LayerNorm;
  readonly norm3: LayerNorm;
  readonly dropout1: Dropout;
  readonly dropout2: Dropout;
  readonly dropout3: Dropout;
  readonly #activation: 'relu' | 'gelu';
  readonly #normFirst: boolean;

  constructor(dModel: number, numHeads: number, options: TransformerLayerOptions = {}) {
    super();
    const { dimFeedforward = 2048, dropout = 0.1, activation = 'relu', layerNormEps = 1e-5 } = options;
    const { batchFirst = false, normFirst = false, generator } = options;
    this.#activation = activation;
    this.#normFirst = normFirst;
    this.selfAttn = new MultiheadAttention(dModel, numHeads, { dropout, batchFirst, generator });
    this.multiheadAttn = new MultiheadAttention(dModel, numHeads, { dropout, batchFirst, generator });
    this.linear1 = new Linear(dModel, dimFeedforward, { generator });
    this.dropout = new Dropout(dropout, { generator });
    this.linear2 = new Linear(dimFeedforward, dModel, { generator });
    this.norm1 = new LayerNorm(dModel, { eps: layerNormEps });
    this.norm2 = new LayerNorm(dModel, { eps: layerNormEps });
    this.norm3 = new LayerNorm(dModel, { eps: layerNormEps });
    this.dropout1 = new Dropout(dropout, { generator });
    this.dropout2 = new Dropout(dropout, { generator });
    this.dropout3 = new Dropout(dropout, { generator });
  }

  /**
   * @param x (L, B, dModel), with batchFirst (B, L, dModel)
   * @param memory (S, B, dModel), with batchFirst (B, S, dModel)
   */
  forward(x: Tensor, memory: Tensor, masks: DecoderMasks = {}): Tensor {
    if (this.#normFirst) {
      const y = x.add(this.#attend(this.norm1.call(x), masks));
      const z = y.add(this.#recall(this.norm2.call(y), memory, masks));
      return z.add(this.#feed(this.norm3.call(z)));
    }
    const y = this.norm1.call(x.add(this.#attend(x, masks)));
    const z = this.norm2.call(y.add(this.#recall(y, memory, masks)));
    return this.norm3.call(z.add(this.#feed(z)));
  }

  #attend(x: Tensor, { tgtMask, tgtKeyPaddingMask }: DecoderMasks): Tensor {
    const masks = { attnMask: tgtMask, keyPaddingMask: tgtKeyPaddingMask, needWeights: false };
    return this.dropout1.call(this.selfAttn.call(x, x, x, masks)[0]);
  }

  #recall(x: Tensor, memory: Tensor, { memoryMask, memoryKeyPaddingMask }: DecoderMasks): Tensor {
    const masks = { attnMask: memoryMask, keyPaddingMask: memoryKeyPaddingMask, needWeights: false };
    return this.dropout2.call(this.multiheadAttn.call(x, memory, memory, masks)[0]);
  }

  #feed(x: Tensor): Tensor {
    const wide = this.linear1.call(x);
    const y = this.linear2.call(this.dropout.call(wide[this.#activation]()));
    return this.dropout3.call(y);
  }
}

/** Encoder layers one after the other, and a norm if one is given. They are made by the caller: nothing is copied. */
export class TransformerEncoder extends Module<[x: Tensor, masks?: EncoderMasks]> {
  readonly layers: ModuleList<TransformerEncoderLayer>;
  readonly norm: LayerNorm | null;

  constructor(layers: Iterable<TransformerEncoderLayer>, { norm = null }: { norm?: LayerNorm | null } = {}) {
    super();
    this.layers = new ModuleList(layers);
    this.norm = norm;
  }

  forward(x: Tensor, masks: EncoderMasks = {}): Tensor {
    let y = x;
    for (const layer of this.layers) y = layer.call(y, masks);
    return this.norm ? this.norm.call(y) : y;
  }
}

/** Decoder layers one after the other, and a norm if one is given. They are made by the caller: nothing is copied. */
export class TransformerDecoder extends Module<[x: Tensor, memory: Tensor, masks?: DecoderMasks]> {
  readonly layers: ModuleList<TransformerDecoderLayer>;
  readonly norm: LayerNorm | null;

  constructor(layers: Iterable<TransformerDecoderLayer>, { norm = null }: { norm?: LayerNorm | null } = {}) {
    super();
    this.layers = new ModuleList(layers);
    this.norm = norm;
  }

  forward(x: Tensor, memory: Tensor, masks: DecoderMasks = {}): Tensor {
    let y = x;
    for (const layer of this.layers) y = layer.call(y, memory, masks);
    return this.norm ? this.norm.call(y) : y;
  }
}
