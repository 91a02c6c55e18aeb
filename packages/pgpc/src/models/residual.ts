// Residual blocks of ResNet and HRNet (He et al. 2016, arXiv 1512.03385).

import { type Generator, nn, type Tensor } from '@pgpc/torch';
import { initialize } from './initial-values.js';

/** How the weights of an encoder's convolutions begin. */
export type ConvInit = (weight: Tensor, generator: Generator) => void;

export interface ResidualOptions {
  stride?: number;
  dilation?: number;
  init: ConvInit;
  /** Whether the last norm begins with scale 0, so that the block begins as its shortcut (Goyal et al. 2017). */
  zeroLast?: boolean;
}

/** Convolution without bias; the map shrinks by the stride alone. */
export function conv(
  from: number,
  to: number,
  kernel: number,
  { stride = 1, dilation = 1, init }: Omit<ResidualOptions, 'zeroLast'>,
  generator: Generator,
): nn.Conv2d {
  const padding = dilation * (kernel >> 1);
  const layer = new nn.Conv2d(from, to, kernel, { stride, padding, dilation, bias: false, generator });
  initialize(() => init(layer.weight, generator));
  return layer;
}

/** Convolution, batch norm and, unless told otherwise, ReLU, under the names of PyTorch's Sequential: 0 and 1. */
export class ConvNorm extends nn.Module {
  readonly conv: nn.Conv2d;
  readonly norm: nn.BatchNorm2d;

  constructor(
    layer: nn.Conv2d,
    readonly relu = true,
  ) {
    super();
    this.conv = this.named('0', layer);
    this.norm = this.named('1', new nn.BatchNorm2d(layer.weight.shape[0]!));
  }

  forward(x: Tensor): Tensor {
    using convolved = this.conv.call(x);
    const y = this.norm.call(convolved);
    return this.relu ? y.relu_() : y;
  }
}

/** Convolutions with norms beside a shortcut, which is a 1x1 convolution where the shape changes. */
export class ResidualBlock extends nn.Module {
  readonly convs: readonly nn.Conv2d[];
  readonly norms: readonly nn.BatchNorm2d[];
  readonly downsample: ConvNorm | undefined;

  constructor(from: number, convs: nn.Conv2d[], options: ResidualOptions, generator: Generator) {
    super();
    this.convs = convs;
    this.norms = convs.map((layer, i) => {
      this.named(`conv${i + 1}`, layer);
      return this.named(`bn${i + 1}`, new nn.BatchNorm2d(layer.weight.shape[0]!));
    });
    const last = this.norms.at(-1)!;
    if (options.zeroLast) nn.constant_(last.weight, 0);
    const to = last.weight.shape[0]!;
    if (from !== to || (options.stride ?? 1) > 1) {
      const { stride, init } = options;
      const projection = new ConvNorm(conv(from, to, 1, { stride, init }, generator), false);
      this.downsample = projection;
    }
  }

  forward(x: Tensor): Tensor {
    let y = x;
    for (const [i, layer] of this.convs.entries()) {
      using convolved = layer.call(y);
      const next = this.norms[i]!.call(convolved);
      if (y !== x) y.dispose();
      y = i < this.convs.length - 1 ? next.relu_() : next;
    }
    return y.add_(this.downsample ? this.downsample.call(x) : x).relu_();
  }
}

/** 1x1 to `width`, 3x3 with stride and dilation, 1x1 to 4 `width`. */
export class Bottleneck extends ResidualBlock {
  static readonly expansion = 4;

  constructor(from: number, width: number, options: ResidualOptions, generator: Generator) {
    const { init } = options;
    const convs = [
      conv(from, width, 1, { init }, generator),
      conv(width, width, 3, options, generator),
      conv(width, Bottleneck.expansion * width, 1, { init }, generator),
    ];
    super(from, convs, options, generator);
  }
}

/** Two 3x3 convolutions of one width. */
export class BasicBlock extends ResidualBlock {
  constructor(width: number, options: ResidualOptions, generator: Generator) {
    super(
      width,
      [0, 1].map(() => conv(width, width, 3, options, generator)),
      options,
      generator,
    );
  }
}
