// ResNet-101 with dilated last stages, the encoder of DeepLab in UDA (He et al. 2016; V1c of He et al. 2019,
// arXiv 1812.01187: a stem of three 3x3 convolutions).

import { type Generator, nn, type Tensor } from '@pgpc/torch';
import type { Backbone } from './decoder.js';
import { Bottleneck, type ConvInit, conv, type ResidualOptions } from './residual.js';

const STEM_WIDTH = 64;
/** Blocks, width, stride and dilation of the four stages; strides 4, 8, 8 and 8 come of them. */
const STAGES = [
  { depth: 3, width: 64, stride: 1, dilation: 1 },
  { depth: 4, width: 128, stride: 2, dilation: 1 },
  { depth: 23, width: 256, stride: 1, dilation: 2 },
  { depth: 3, width: 512, stride: 1, dilation: 4 },
] as const;

const init: ConvInit = (weight, generator) => nn.kaimingNormal_(weight, { mode: 'fanOut', generator });

/** Three 3x3 convolutions, the first of stride 2, each with norm and ReLU: (B, 3, H, W) to (B, 64, H/2, W/2). */
class Stem extends nn.Module {
  readonly layers: readonly [conv: nn.Conv2d, norm: nn.BatchNorm2d][];

  constructor(generator: Generator) {
    super();
    const half = STEM_WIDTH / 2;
    const convs = [
      conv(3, half, 3, { stride: 2, init }, generator),
      conv(half, half, 3, { init }, generator),
      conv(half, STEM_WIDTH, 3, { init }, generator),
    ];
    // The ReLUs have their places in the official numbering.
    this.layers = convs.map((layer, i) => [
      this.named(String(3 * i), layer),
      this.named(String(3 * i + 1), new nn.BatchNorm2d(layer.weight.shape[0]!)),
    ]);
  }

  forward(image: Tensor): Tensor {
    return this.layers.reduce((x, [layer, norm]) => norm.call(layer.call(x)).relu_(), image);
  }
}

/** ResNet-101-V1c with output strides 4, 8, 8 and 8, and the parameter names of open-mmlab's files. */
export class ResNet101 extends nn.Module<[image: Tensor], Tensor[]> implements Backbone {
  readonly channels = STAGES.map(({ width }) => Bottleneck.expansion * width);
  readonly #stem: Stem;
  readonly #pool = new nn.MaxPool2d(3, { stride: 2, padding: 1 });
  readonly #stages: readonly nn.Sequential[];

  /** @param generator for initial values: He's normal ones, and 0 for the scale of a block's last norm. */
  constructor(generator: Generator) {
    super();
    this.#stem = this.named('stem', new Stem(generator));
    let from: number = STEM_WIDTH;
    this.#stages = STAGES.map(({ depth, width, stride, dilation }, stage) => {
      const blocks = Array.from({ length: depth }, (_, i) => {
        // A dilated stage begins with the dilation of the one before (`contract_dilation`).
        const first = { stride, dilation: Math.max(1, dilation / 2) };
        const options: ResidualOptions = { ...(i === 0 ? first : { dilation }), init, zeroLast: true };
        const block = new Bottleneck(from, width, options, generator);
        from = Bottleneck.expansion * width;
        return block;
      });
      return this.named(`layer${stage + 1}`, new nn.Sequential(...blocks));
    });
  }

  get checkpointable(): nn.AnyModule[] {
    return [this.#stem, this.#pool, ...this.#stages.flatMap(({ layers }) => layers)];
  }

  /** (B, 3, H, W), normalised, to maps of 256, 512, 1024 and 2048 channels at strides 4, 8, 8 and 8. */
  forward(image: Tensor): Tensor[] {
    const outputs: Tensor[] = [];
    let map = this.#pool.call(this.#stem.call(image));
    for (const stage of this.#stages) {
      map = stage.call(map);
      outputs.push(map);
    }
    return outputs;
  }
}
