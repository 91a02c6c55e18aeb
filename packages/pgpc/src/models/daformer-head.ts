// The DAFormer decoder: multi-level features fused with context (Hoyer et al. 2022, arXiv 2111.14887, section 3.2).

import { type Generator, nn, ops, sizeOf, type Tensor } from '@pgpc/torch';
import { ConvModule, classifier, LevelEmbedding, SeparableConvModule } from './conv-module.js';
import type { DecodeHead, DecoderOutput, FusingHeadOptions } from './decoder.js';

const DILATIONS = [6, 12, 18] as const;

/** Parallel branches of growing dilation over the concatenated levels, and a convolution that fuses them. */
class AsppFusion extends nn.Module {
  readonly asppModules: nn.ModuleList<nn.Module>;
  readonly bottleneck: ConvModule;

  constructor(inChannels: number, channels: number, generator: Generator) {
    super();
    const separable = (dilation: number) =>
      new SeparableConvModule(inChannels, channels, { dilation }, generator);
    this.asppModules = new nn.ModuleList<nn.Module>([
      new ConvModule(inChannels, channels, { kernel: 1 }, generator),
      ...DILATIONS.map(separable),
    ]);
    this.bottleneck = new ConvModule(channels * this.asppModules.length, channels, { kernel: 3 }, generator);
  }

  forward(x: Tensor): Tensor {
    return this.bottleneck.call(
      ops.cat(
        this.asppModules.items.map((branch) => branch.call(x)),
        1,
      ),
    );
  }
}

/** How the levels become one map: with context around each position, or position by position (`daformer_conv1`). */
export type Fusion = 'aspp' | 'conv1';

/** DAFormer's head, by default with separable ASPP fusion, `daformer_sepaspp`; names as in DAFormer's checkpoints. */
export class DaformerHead extends nn.Module<[stages: Tensor[]], DecoderOutput> implements DecodeHead {
  readonly channels: number;
  readonly convSeg: nn.Conv2d;
  readonly dropout: nn.Dropout2d;
  readonly embedLayers: nn.ModuleList<LevelEmbedding>;
  readonly fuseLayer: AsppFusion | ConvModule;

  constructor(
    { inChannels, channels, classes, dropout }: FusingHeadOptions,
    generator: Generator,
    fusion: Fusion = 'aspp',
  ) {
    super();
    this.channels = channels;
    this.convSeg = classifier(channels, classes, generator);
    this.dropout = new nn.Dropout2d(dropout, { generator });
    this.embedLayers = new nn.ModuleList(
      inChannels.map((width) => new LevelEmbedding(width, channels, generator)),
    );
    const joined = channels * inChannels.length;
    this.fuseLayer =
      fusion === 'aspp'
        ? new AsppFusion(joined, channels, generator)
        : new ConvModule(joined, channels, { kernel: 1 }, generator);
  }

  /** One after the other, so that never all branches' maps are held at once. */
  get checkpointable(): nn.AnyModule[] {
    const { fuseLayer } = this;
    if (fuseLayer instanceof ConvModule) return [...this.embedLayers, fuseLayer];
    return [...this.embedLayers, ...fuseLayer.asppModules, fuseLayer.bottleneck];
  }

  /** @returns features and logits at the stride of the first map, 4. */
  forward(stages: Tensor[]): DecoderOutput {
    const size = sizeOf(stages[0]!);
    const embedded = stages.map((stage, i) => {
      const map = this.embedLayers.items[i]!.call(stage); // (B, D, h_i, w_i)
      return i === 0 ? map : nn.interpolate(map, size);
    });
    const features = this.fuseLayer.call(ops.cat(embedded, 1)); // (B, D, h, w)
    return { features, logits: this.convSeg.call(this.dropout.call(features)) };
  }
}
