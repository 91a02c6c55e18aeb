// SegFormer's all-MLP decoder (Xie et al. 2021, arXiv 2105.15203, section 3.2, eq 4).

import { type Generator, nn, ops, sizeOf, type Tensor } from '@pgpc/torch';
import { ConvModule, LevelEmbedding } from './conv-module.js';
import type { DecodeHead, DecoderOutput, FusingHeadOptions } from './decoder.js';

/**
 * Four linear embeddings, resized to the finest map and fused by one 1x1 convolution. Names as in the official
 * checkpoints: `linear_c1` ... `linear_c4`, `linear_fuse`, `linear_pred`.
 */
export class SegformerHead extends nn.Module<[stages: Tensor[]], DecoderOutput> implements DecodeHead {
  readonly channels: number;
  /** Of the stages in their order. */
  readonly embeddings: readonly LevelEmbedding[];
  readonly linearFuse: ConvModule;
  readonly dropout: nn.Dropout2d;
  readonly linearPred: nn.Conv2d;

  constructor({ inChannels, channels, classes, dropout }: FusingHeadOptions, generator: Generator) {
    super();
    this.channels = channels;
    this.embeddings = inChannels.map((width, i) =>
      this.named(`linear_c${i + 1}`, new LevelEmbedding(width, channels, generator)),
    );
    const fuse = new ConvModule(channels * inChannels.length, channels, { kernel: 1 }, generator);
    this.linearFuse = fuse;
    this.dropout = new nn.Dropout2d(dropout, { generator });
    this.linearPred = new nn.Conv2d(channels, classes, 1, { generator });
  }

  get checkpointable(): nn.AnyModule[] {
    return [...this.embeddings];
  }

  /** @returns features and logits at the stride of the first map, 4. */
  forward(stages: Tensor[]): DecoderOutput {
    const embedded = stages.map((stage, i) => this.embeddings[i]!.call(stage)); // (B, D, h_i, w_i) each
    // The fusing convolution reads the coarsest level first.
    const widths = embedded.map(() => this.channels);
    const weights = this.linearFuse.conv.weight.splitWithSizes(widths, 1).reverse();
    const fused = fuseResized(embedded, weights, null); // (B, D, h, w)
    const features = this.linearFuse.bn!.call(fused).relu_();
    return { features, logits: this.linearPred.call(this.dropout.call(features)) };
  }
}

/**
 * A 1x1 convolution of concatenated maps that are first resized to the size of maps[0]. Resizing and a convolution of
 * kernel 1 commute: each coarse map goes through its part of the weight at its own size, which takes a fraction of
 * the multiplications and no concatenated map.
 * @param maps (B, D_i, h_i, w_i). @param weights (D, D_i, 1, 1), the part of each map.
 * @returns (B, D, h_0, w_0)
 */
export function fuseResized(maps: Tensor[], weights: Tensor[], bias: Tensor | null): Tensor {
  const size = sizeOf(maps[0]!);
  const fused = ops.conv2d(maps[0]!, weights[0]!, bias);
  for (const [i, map] of maps.entries()) {
    if (i === 0) continue;
    using part = ops.conv2d(map, weights[i]!);
    using resized = nn.interpolate(part, size);
    fused.add_(resized);
  }
  return fused;
}
