// The decoder by which encoders are measured: batch norm and one linear map (Oquab et al. 2023, arXiv 2304.07193, 7.4).

import { type Generator, nn, type Tensor } from '@pgpc/torch';
import { classifier } from './conv-module.js';
import type { DecodeHead, DecoderOutput, HeadOptions } from './decoder.js';

/** Reads the encoder's last map. Names as in DINOv2's published heads: `bn`, `conv_seg`. */
export class LinearHead extends nn.Module<[stages: Tensor[]], DecoderOutput> implements DecodeHead {
  readonly channels: number;
  readonly convSeg: nn.Conv2d;
  readonly dropout: nn.Dropout2d;
  readonly bn: nn.BatchNorm2d;

  /** @param options `dropout`: share of channels that the classifier does not see in training. */
  constructor({ inChannels, classes, dropout }: HeadOptions & { dropout: number }, generator: Generator) {
    super();
    this.channels = inChannels.at(-1)!;
    this.convSeg = classifier(this.channels, classes, generator);
    this.dropout = new nn.Dropout2d(dropout, { generator });
    this.bn = new nn.BatchNorm2d(this.channels);
  }

  /** Nothing: it keeps no map but its input. */
  get checkpointable(): nn.AnyModule[] {
    return [];
  }

  /** @returns features and logits at the stride of the encoder's last map. */
  forward(stages: Tensor[]): DecoderOutput {
    const features = this.bn.call(stages.at(-1)!);
    return { features, logits: this.convSeg.call(this.dropout.call(features)) };
  }
}
