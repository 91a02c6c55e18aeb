// What decoders are made of: convolution with norm and ReLU, and linear maps over channels.

import { type Generator, nn, type Tensor } from '@pgpc/torch';
import { initialize } from './initial-values.js';

export interface ConvModuleOptions {
  /** Odd side of the kernel; the map keeps its size. */
  kernel: number;
  dilation?: number;
  groups?: number;
  /** Batch norm between convolution and ReLU (default), or a bias in its place. */
  norm?: boolean;
}

/** Convolution, batch norm, ReLU, under mmcv's names `conv` and `bn`: (B, inChannels, H, W) to (B, outChannels, H, W). */
export class ConvModule extends nn.Module {
  readonly conv: nn.Conv2d;
  readonly bn: nn.BatchNorm2d | undefined;

  constructor(inChannels: number, outChannels: number, options: ConvModuleOptions, generator: Generator) {
    super();
    const { kernel, dilation = 1, groups = 1, norm = true } = options;
    const padding = dilation * (kernel >> 1);
    const conv = new nn.Conv2d(inChannels, outChannels, kernel, {
      padding,
      dilation,
      groups,
      bias: !norm,
      generator,
    });
    initialize(() => nn.kaimingNormal_(conv.weight, { mode: 'fanOut', generator }));
    if (conv.bias) nn.constant_(conv.bias, 0);
    this.conv = conv;
    if (norm) this.bn = new nn.BatchNorm2d(outChannels);
  }

  forward(x: Tensor): Tensor {
    const y = this.conv.call(x);
    return (this.bn ? this.bn.call(y) : y).relu_();
  }
}

/** A depthwise 3x3 convolution and a pointwise one, each with its norm and ReLU (Howard et al. 2017). */
export class SeparableConvModule extends nn.Module {
  readonly depthwiseConv: ConvModule;
  readonly pointwiseConv: ConvModule;

  constructor(
    inChannels: number,
    outChannels: number,
    { dilation = 1, norm = true }: Pick<ConvModuleOptions, 'dilation' | 'norm'>,
    generator: Generator,
  ) {
    super();
    const depthwise = { kernel: 3, dilation, groups: inChannels, norm };
    this.depthwiseConv = new ConvModule(inChannels, inChannels, depthwise, generator);
    this.pointwiseConv = new ConvModule(inChannels, outChannels, { kernel: 1, norm }, generator);
  }

  forward(x: Tensor): Tensor {
    return this.pointwiseConv.call(this.depthwiseConv.call(x));
  }
}

/** One linear map, `proj`, at every position: (B, inChannels, H, W) to (B, channels, H, W). */
export class LevelEmbedding extends nn.Module {
  readonly proj: nn.Linear;

  constructor(inChannels: number, channels: number, generator: Generator) {
    super();
    this.proj = new nn.Linear(inChannels, channels, { generator });
  }

  forward(map: Tensor): Tensor {
    const embedded = this.proj.call(map.permute([0, 2, 3, 1])).permute([0, 3, 1, 2]); // (B, D, H, W)
    // On the CPU our depthwise convolution of float32 wants planes. All else is faster with channels last: convolutions on a
    // GPU or in 16 bits, and resizing.
    return map.device === 'cpu' && embedded.dtype === 'float32' ? embedded.contiguous() : embedded;
  }
}

/** The 1x1 convolution to class scores, with mmseg's initial values: normal, std 0.01, bias 0. */
export function classifier(channels: number, classes: number, generator: Generator): nn.Conv2d {
  const conv = new nn.Conv2d(channels, classes, 1, { generator });
  nn.normal_(conv.weight, 0, 0.01, { generator });
  nn.constant_(conv.bias!, 0);
  return conv;
}
