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

/** DAFormer's head with separable ASPP fusion, `daformer_sepaspp`; names as in DAFormer's checkpoints. */
export class DaformerHead extends nn.Module<[stages: Tensor[]], DecoderOutput> implements DecodeHead {
  readonly channels: number;
  readonly convSeg: nn.Conv2d;
  readonly dropout: nn.Dropout2d;
  readonly embedLayers: nn.ModuleList<LevelEmbedding>;
  readonly fuseLayer: AsppFusion;

  constructor({ inChannels, channels, classes, dropout }: FusingHeadOptions, generator: Generator) {
    super();
    this.channels = channels;
    this.convSeg = classifier(channels, classes, generator);
    this.dropout = new nn.Dropout2d(dropout, { generator });
    this.embedLayers = new nn.ModuleList(
      inChannels.map((width) => new LevelEmbedding(width, channels, generator)),
    );
    this.fuseLayer = new AsppFusion(channels * inChannels.length, channels, generator);
  }

  /** One after the other, so that never all branches' maps are held at once. */
  get checkpointable(): nn.AnyModule[] {
    const { asppModules, bottleneck } = this.fuseLayer;
    return [...this.embedLayers, ...asppModules, bottleneck];
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
