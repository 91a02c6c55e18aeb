// DeepLabV3+'s decoder: pooled and dilated context joined with fine features (Chen et al. 2018, arXiv 1802.02611).

import { type Generator, nn, ops, sizeOf, type Tensor } from '@pgpc/torch';
import { ConvModule, classifier, SeparableConvModule } from './conv-module.js';
import type { DecodeHead, DecoderOutput, HeadOptions } from './decoder.js';

const WIDTH = 512;
/** Of the finest stage, reduced so that it does not outweigh the context. */
const FINE_WIDTH = 48;
const DILATIONS = [12, 24, 36] as const;

/** Names as in DAFormer's and mmseg's checkpoints (`DepthwiseSeparableASPPHead`). */
export class DeeplabV3PlusHead extends nn.Module<[stages: Tensor[]], DecoderOutput> implements DecodeHead {
  readonly channels = WIDTH;
  /** Whether the decoder has batch norm. */
  readonly norm: boolean;
  readonly convSeg: nn.Conv2d;
  readonly dropout: nn.Dropout2d;
  readonly imagePool: nn.Sequential;
  readonly asppModules: nn.ModuleList<nn.Module>;
  readonly bottleneck: ConvModule;
  readonly c1Bottleneck: ConvModule;
  readonly sepBottleneck: nn.Sequential;

  /**
   * @param options.dropout share of the channels of `features` that the classifier does not see in training.
   * @param options.norm batch norm in the decoder; the UDA experiments go without, since the pooled branch has one
   * value a channel and image, too few for statistics.
   */
  constructor(
    { inChannels, classes, dropout, norm }: HeadOptions & { dropout: number; norm: boolean },
    generator: Generator,
  ) {
    super();
    this.norm = norm;
    const last = inChannels.at(-1)!;
    const conv = (from: number, to: number, kernel: number) =>
      new ConvModule(from, to, { kernel, norm }, generator);
    const separable = (from: number, dilation: number) =>
      new SeparableConvModule(from, WIDTH, { dilation, norm }, generator);
    this.convSeg = classifier(WIDTH, classes, generator);
    this.dropout = new nn.Dropout2d(dropout, { generator });
    this.imagePool = new nn.Sequential(new nn.AdaptiveAvgPool2d(1), conv(last, WIDTH, 1));
    this.asppModules = new nn.ModuleList<nn.Module>([
      conv(last, WIDTH, 1),
      ...DILATIONS.map((d) => separable(last, d)),
    ]);
    const branches = 1 + this.asppModules.length;
    this.bottleneck = conv(branches * WIDTH, WIDTH, 3);
    this.c1Bottleneck = conv(inChannels[0]!, FINE_WIDTH, 1);
    this.sepBottleneck = new nn.Sequential(separable(WIDTH + FINE_WIDTH, 1), separable(WIDTH, 1));
  }

  /** One after the other, so that never all branches' maps are held at once. */
  get checkpointable(): nn.AnyModule[] {
    return [
      this.imagePool,
      ...this.asppModules,
      this.bottleneck,
      this.c1Bottleneck,
      ...this.sepBottleneck.layers,
    ];
  }

  /**
   * @returns features and logits at the stride of the first map, 4.
   * @throws Error for a single image in training with batch norm, whose variance would be NaN.
   */
  forward(stages: Tensor[]): DecoderOutput {
    const [first, last] = [stages[0]!, stages.at(-1)!];
    if (this.training && this.norm && last.shape[0] === 1) {
      throw new Error(
        'deeplabv3plus trains on 2 images a batch or more, not 1: its pooled branch has one value a channel and ' +
          'image; deeplabv3plus-nobn has no such limit',
      );
    }
    // Bilinear resizing of a single value is that value everywhere.
    const pooled = this.imagePool.call(last).expand([-1, -1, ...sizeOf(last)]); // (B, D, h, w)
    const branches = this.asppModules.items.map((branch) => branch.call(last)); // (B, D, h, w) each
    const context = this.bottleneck.call(ops.cat([pooled, ...branches], 1)); // (B, D, h, w)
    const joined = ops.cat([nn.interpolate(context, sizeOf(first)), this.c1Bottleneck.call(first)], 1);
    const features = this.sepBottleneck.call(joined); // (B, D, h_0, w_0)
    return { features, logits: this.convSeg.call(this.dropout.call(features)) };
  }
}
