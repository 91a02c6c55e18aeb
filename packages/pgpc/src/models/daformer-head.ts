// The DAFormer decoder: multi-level features fused with context (Hoyer et al. 2022, arXiv 2111.14887, section 3.2).

import { type Generator, nn, ops, type Tensor } from '@pgpc/torch';

const DILATIONS = [6, 12, 18] as const;

interface ConvOptions {
  kernel: number;
  dilation?: number;
  groups?: number;
}

/** Convolution without bias, batch norm, ReLU. */
class ConvModule extends nn.Module {
  readonly conv: nn.Conv2d;
  readonly bn: nn.BatchNorm2d;

  constructor(inChannels: number, outChannels: number, options: ConvOptions, generator: Generator) {
    super();
    const { kernel, dilation = 1, groups = 1 } = options;
    const padding = dilation * (kernel >> 1);
    const conv = new nn.Conv2d(inChannels, outChannels, kernel, {
      padding,
      dilation,
      groups,
      bias: false,
      generator,
    });
    nn.kaimingNormal_(conv.weight, { mode: 'fanOut', generator });
    this.conv = this.registerModule('conv', conv);
    this.bn = this.registerModule('bn', new nn.BatchNorm2d(outChannels));
  }

  forward(x: Tensor): Tensor {
    return this.bn.call(this.conv.call(x)).relu_();
  }
}

class SeparableConvModule extends nn.Module {
  readonly depthwise: ConvModule;
  readonly pointwise: ConvModule;

  constructor(inChannels: number, outChannels: number, dilation: number, generator: Generator) {
    super();
    const depthwise = { kernel: 3, dilation, groups: inChannels };
    this.depthwise = this.registerModule(
      'depthwise_conv',
      new ConvModule(inChannels, inChannels, depthwise, generator),
    );
    this.pointwise = this.registerModule(
      'pointwise_conv',
      new ConvModule(inChannels, outChannels, { kernel: 1 }, generator),
    );
  }

  forward(x: Tensor): Tensor {
    return this.pointwise.call(this.depthwise.call(x));
  }
}

/** Parallel branches of growing dilation over the concatenated levels, and a convolution that fuses them. */
class AsppFusion extends nn.Module {
  readonly branches: nn.ModuleList<nn.Module>;
  readonly bottleneck: ConvModule;

  constructor(inChannels: number, channels: number, generator: Generator) {
    super();
    this.branches = this.registerModule(
      'aspp_modules',
      new nn.ModuleList<nn.Module>([
        new ConvModule(inChannels, channels, { kernel: 1 }, generator),
        ...DILATIONS.map((dilation) => new SeparableConvModule(inChannels, channels, dilation, generator)),
      ]),
    );
    this.bottleneck = this.registerModule(
      'bottleneck',
      new ConvModule(channels * this.branches.length, channels, { kernel: 3 }, generator),
    );
  }

  forward(x: Tensor): Tensor {
    return this.bottleneck.call(
      ops.cat(
        this.branches.items.map((branch) => branch.call(x)),
        1,
      ),
    );
  }
}

class LevelEmbedding extends nn.Module {
  readonly proj: nn.Linear;

  constructor(inChannels: number, channels: number, generator: Generator) {
    super();
    this.proj = this.registerModule('proj', new nn.Linear(inChannels, channels, { generator }));
  }

  /** (N, C, H, W) to (N, channels, H, W): one linear map at every position. */
  forward(map: Tensor): Tensor {
    return this.proj
      .call(map.permute([0, 2, 3, 1]))
      .permute([0, 3, 1, 2])
      .contiguous();
  }
}

export interface DaformerHeadOptions {
  /** Channels of the encoder's four levels. */
  inChannels: readonly number[];
  /** Width of embeddings and fusion; 256 in the paper. */
  channels?: number;
  classes: number;
  /** Share of channels dropped before the classifier. */
  dropout?: number;
}

/** What a decoder gives: fused features and class scores, both at stride 4. */
export interface DecoderOutput {
  /** (N, channels, H/4, W/4): the features that the classifier and the projection head share. */
  features: Tensor;
  /** (N, classes, H/4, W/4) */
  logits: Tensor;
}

/** DAFormer's head with separable ASPP fusion, `daformer_sepaspp`; names as in DAFormer's checkpoints. */
export class DaformerHead extends nn.Module<[levels: Tensor[]], DecoderOutput> {
  /** Width of `features`. */
  readonly channels: number;
  readonly convSeg: nn.Conv2d;
  readonly embedLayers: nn.ModuleList<LevelEmbedding>;
  readonly fuseLayer: AsppFusion;
  readonly dropout: nn.Dropout2d;

  constructor(options: DaformerHeadOptions, generator: Generator) {
    super();
    const { inChannels, channels = 256, classes, dropout = 0.1 } = options;
    this.channels = channels;
    this.convSeg = this.registerModule('conv_seg', new nn.Conv2d(channels, classes, 1, { generator }));
    nn.normal_(this.convSeg.weight, 0, 0.01, { generator });
    nn.constant_(this.convSeg.bias!, 0);
    this.dropout = this.registerModule('dropout', new nn.Dropout2d(dropout, { generator }));
    this.embedLayers = this.registerModule(
      'embed_layers',
      new nn.ModuleList(inChannels.map((width) => new LevelEmbedding(width, channels, generator))),
    );
    this.fuseLayer = this.registerModule(
      'fuse_layer',
      new AsppFusion(channels * inChannels.length, channels, generator),
    );
  }

  forward(levels: Tensor[]): DecoderOutput {
    const size = levels[0]!.shape.slice(2) as [number, number];
    const embedded = levels.map((level, i) => {
      const map = this.embedLayers.items[i]!.call(level);
      return i === 0 ? map : nn.interpolate(map, size);
    });
    const features = this.fuseLayer.call(ops.cat(embedded, 1));
    return { features, logits: this.convSeg.call(this.dropout.call(features)) };
  }
}
