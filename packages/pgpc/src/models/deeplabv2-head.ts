// DeepLabV2's decoder: the sum of dilated classifiers (Chen et al. 2017, arXiv 1606.00915, section 3.2).

import { type Generator, nn, type Tensor } from '@pgpc/torch';
import type { DecodeHead, DecoderOutput, HeadOptions } from './decoder.js';

class Branch extends nn.Module {
  readonly conv: nn.Conv2d;

  constructor(inChannels: number, classes: number, dilation: number, generator: Generator) {
    super();
    const conv = new nn.Conv2d(inChannels, classes, 3, { padding: dilation, dilation, generator });
    nn.normal_(conv.weight, 0, 0.01, { generator });
    nn.constant_(conv.bias!, 0);
    this.conv = conv;
  }

  forward(x: Tensor): Tensor {
    return this.conv.call(x);
  }
}

/** Features are the encoder's last stage itself; nothing is dropped. Names as in DAFormer's checkpoints. */
export class DeeplabV2Head extends nn.Module<[stages: Tensor[]], DecoderOutput> implements DecodeHead {
  readonly channels: number;
  readonly asppModules: nn.ModuleList<Branch>;

  /** @param dilations 6, 12, 18 and 24 in the paper; 6 and 12 in the experiments of AdaptSegNet and its successors. */
  constructor({ inChannels, classes }: HeadOptions, dilations: readonly number[], generator: Generator) {
    super();
    this.channels = inChannels.at(-1)!;
    this.asppModules = new nn.ModuleList(
      dilations.map((d) => new Branch(this.channels, classes, d, generator)),
    );
  }

  /** Nothing: its convolutions keep no map but their input. */
  get checkpointable(): nn.AnyModule[] {
    return [];
  }

  /** @returns features and logits at the stride of the last map, 8 for a dilated ResNet. */
  forward(stages: Tensor[]): DecoderOutput {
    const features = stages.at(-1)!;
    const [first, ...others] = this.asppModules.items.map((branch) => branch.call(features));
    return { features, logits: others.reduce((sum, scores) => sum.add_(scores), first!) };
  }
}
