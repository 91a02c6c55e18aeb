// HRNet-W48, an encoder that keeps a stream at stride 4 throughout (Wang et al. 2020, arXiv 1908.07919).

import { type Generator, nn, sizeOf, type Tensor } from '@pgpc/torch';
import type { Backbone, DecodeHead, DecoderOutput, HeadOptions } from './decoder.js';
import { BasicBlock, Bottleneck, type ConvInit, ConvNorm, conv, ResidualBlock } from './residual.js';
import { fuseResized } from './segformer-head.js';

const STEM_WIDTH = 64;
const STEM_BLOCKS = 4;
/** Of the streams at strides 4, 8, 16 and 32. */
const WIDTHS = [48, 96, 192, 384] as const;
/** Modules of stages 2, 3 and 4, which have 2, 3 and 4 streams. */
const MODULES = [1, 4, 3] as const;
/** Blocks of a stream in one module. */
const BLOCKS = 4;

const init: ConvInit = (weight, generator) => nn.normal_(weight, 0, 0.001, { generator });
const halve = { stride: 2, init };

/** Parallel streams and their exchange: stream i becomes ReLU of the sum over j of stream j brought to its size. */
class HighResolutionModule extends nn.Module<[streams: Tensor[]], Tensor[]> {
  readonly branches: nn.ModuleList<nn.Sequential>;
  readonly fuseLayers: nn.ModuleList<nn.ModuleList<nn.Module>>;

  constructor(widths: readonly number[], generator: Generator) {
    super();
    const blocks = (width: number) =>
      Array.from({ length: BLOCKS }, () => new BasicBlock(width, { init }, generator));
    this.branches = new nn.ModuleList(widths.map((width) => new nn.Sequential(...blocks(width))));
    const path = (from: number, to: number): nn.Module => {
      const [narrow, wide] = [widths[from]!, widths[to]!];
      if (from === to) return new nn.Identity();
      if (from > to) return new ConvNorm(conv(narrow, wide, 1, { init }, generator), false);
      const steps = to - from;
      return new nn.Sequential(
        ...Array.from({ length: steps }, (_, step) => {
          const last = step === steps - 1;
          return new ConvNorm(conv(narrow, last ? wide : narrow, 3, halve, generator), !last);
        }),
      );
    };
    this.fuseLayers = new nn.ModuleList(
      widths.map((_, to) => new nn.ModuleList(widths.map((_, from) => path(from, to)))),
    );
  }

  forward(inputs: Tensor[]): Tensor[] {
    const streams = inputs.map((stream, i) => this.branches.items[i]!.call(stream)); // (B, D_i, h_i, w_i) each
    return streams.map((own, to) => {
      const size = sizeOf(own);
      const part = (stream: Tensor, from: number): Tensor => {
        const moved = this.fuseLayers.items[to]!.items[from]!.call(stream); // (B, D_to, ., .)
        return from > to ? nn.interpolate(moved, size) : moved;
      };
      const [first, second, ...others] = streams.map(part) as [Tensor, Tensor, ...Tensor[]];
      // Out of place once: the first may be a stream that the other sums still need.
      return others.reduce((sum, next) => sum.add_(next), first.add(second)).relu_();
    });
  }
}

/** The four-stream encoder, with the parameter names of the authors' `hrnetv2_w48_*.pth`. */
export class HrnetW48 extends nn.Module<[image: Tensor], Tensor[]> implements Backbone {
  readonly channels = WIDTHS;
  readonly #stem: readonly [conv: nn.Conv2d, norm: nn.BatchNorm2d][];
  readonly #layer1: nn.Sequential;
  readonly #stages: { transition: nn.ModuleList<nn.Module>; modules: nn.ModuleList<HighResolutionModule> }[];

  /** @param generator for initial values: all convolutions normal, std 0.001, as the authors begin. */
  constructor(generator: Generator) {
    super();
    this.#stem = [3, STEM_WIDTH].map((from, i) => [
      this.named(`conv${i + 1}`, conv(from, STEM_WIDTH, 3, halve, generator)),
      this.named(`bn${i + 1}`, new nn.BatchNorm2d(STEM_WIDTH)),
    ]);
    const layer1Width = Bottleneck.expansion * STEM_WIDTH;
    const blocks = Array.from(
      { length: STEM_BLOCKS },
      (_, i) => new Bottleneck(i === 0 ? STEM_WIDTH : layer1Width, STEM_WIDTH, { init }, generator),
    );
    this.#layer1 = this.named('layer1', new nn.Sequential(...blocks));
    let widths: readonly number[] = [layer1Width];
    this.#stages = MODULES.map((depth, i) => {
      const before = widths;
      widths = WIDTHS.slice(0, before.length === 1 ? 2 : before.length + 1);
      const paths = widths.map((width, stream): nn.Module => {
        const from = before[stream];
        if (from === width) return new nn.Identity();
        if (from !== undefined) return new ConvNorm(conv(from, width, 3, { init }, generator));
        return new nn.Sequential(new ConvNorm(conv(before.at(-1)!, width, 3, halve, generator)));
      });
      const transition = this.named(`transition${i + 1}`, new nn.ModuleList(paths));
      const modules = Array.from({ length: depth }, () => new HighResolutionModule(widths, generator));
      return { transition, modules: this.named(`stage${i + 2}`, new nn.ModuleList(modules)) };
    });
  }

  /** All residual blocks and the convolutions between the streams; only the stem and sums are left. */
  get checkpointable(): nn.AnyModule[] {
    const parts = [...this.namedModules().values()];
    return parts.filter((part) => part instanceof ResidualBlock || part instanceof ConvNorm);
  }

  /** (B, 3, H, W), normalised, to streams of 48, 96, 192 and 384 channels at strides 4, 8, 16 and 32. */
  forward(image: Tensor): Tensor[] {
    const stem = this.#stem.reduce((x, [layer, norm]) => norm.call(layer.call(x)).relu_(), image);
    let streams = [this.#layer1.call(stem)]; // (B, 256, H/4, W/4)
    for (const { transition, modules } of this.#stages) {
      const last = streams.at(-1)!;
      streams = transition.items.map((path, i) => path.call(streams[i] ?? last));
      for (const module of modules) {
        const next = module.call(streams);
        for (const stream of streams) stream.dispose();
        streams = next;
      }
    }
    return streams;
  }
}

/** The two 1x1 convolutions of the official `last_layer`. */
class LastLayer extends nn.Module<[streams: Tensor[]], DecoderOutput> {
  readonly fuse: nn.Conv2d;
  readonly norm: nn.BatchNorm2d;
  readonly classify: nn.Conv2d;

  constructor(
    readonly widths: readonly number[],
    classes: number,
    generator: Generator,
  ) {
    super();
    const channels = widths.reduce((sum, width) => sum + width, 0);
    const pointwise = (to: number) => {
      const layer = new nn.Conv2d(channels, to, 1, { generator });
      init(layer.weight, generator);
      return layer;
    };
    this.fuse = this.named('0', pointwise(channels));
    this.norm = this.named('1', new nn.BatchNorm2d(channels));
    this.classify = this.named('3', pointwise(classes));
  }

  forward(streams: Tensor[]): DecoderOutput {
    const weights = this.fuse.weight.splitWithSizes(this.widths, 1);
    const features = this.norm.call(fuseResized(streams, weights, this.fuse.bias)).relu_(); // (B, D, h, w)
    return { features, logits: this.classify.call(features) };
  }
}

/** HRNet's own decoder: all streams at the size of the first, one hidden layer, classes; nothing is dropped. */
export class HrnetHead extends nn.Module<[streams: Tensor[]], DecoderOutput> implements DecodeHead {
  readonly channels: number;
  readonly lastLayer: LastLayer;

  constructor({ inChannels, classes }: HeadOptions, generator: Generator) {
    super();
    this.lastLayer = new LastLayer(inChannels, classes, generator);
    this.channels = inChannels.reduce((sum, width) => sum + width, 0);
  }

  /** Nothing: the backward pass begins here, and would need it all again at once. */
  get checkpointable(): nn.AnyModule[] {
    return [];
  }

  /** @returns features, after the ReLU, and logits at stride 4. */
  forward(streams: Tensor[]): DecoderOutput {
    return this.lastLayer.call(streams);
  }
}
