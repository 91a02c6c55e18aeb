// Four maps from the one of a plain ViT: ViTDet's simple feature pyramid (Li et al. 2022, arXiv 2203.16527, section 3).

import { type Generator, nn, ops, sizeOf, type Tensor } from '@pgpc/torch';
import type { AdapterConfig } from '../config/encoder-training.js';
import type { VitConfig } from '../config/vit.js';
import type { Backbone } from './decoder.js';
import { fitted } from './fit-image.js';
import { initialize } from './initial-values.js';
import { MapNorm } from './map-norm.js';
import { VisionTransformer } from './vit.js';

/** Of the four maps. */
const STRIDES = [4, 8, 16, 32] as const;
/** Of the one map where there is no pyramid. */
const PLAIN_STRIDE = 8;
const WIDTH = 256;

/** A convolution without bias and its norm. */
class NormedConv extends nn.Module {
  readonly conv: nn.Conv2d;
  readonly norm: MapNorm;

  constructor(from: number, kernel: number, generator: Generator) {
    super();
    this.conv = new nn.Conv2d(from, WIDTH, kernel, { padding: kernel >> 1, bias: false, generator });
    initialize(() => nn.kaimingNormal_(this.conv.weight, { mode: 'fanOut', generator }));
    this.norm = new MapNorm(WIDTH);
  }

  forward(map: Tensor): Tensor {
    return this.norm.call(this.conv.call(map));
  }
}

class Gelu extends nn.Module {
  forward(x: Tensor): Tensor {
    return ops.gelu(x);
  }
}

const doubled = (from: number, to: number, generator: Generator) =>
  new nn.ConvTranspose2d(from, to, 2, { stride: 2, generator });

/** One level: resampling by transposed convolutions or pooling, a 1x1 and a 3x3 convolution. */
function level(dim: number, scale: 4 | 2 | 1 | 0.5, generator: Generator): nn.Sequential {
  const [half, quarter] = [dim / 2, dim / 4];
  const resampling: Readonly<Record<typeof scale, () => [layers: nn.Module[], width: number]>> = {
    4: () => [
      [doubled(dim, half, generator), new MapNorm(half), new Gelu(), doubled(half, quarter, generator)],
      quarter,
    ],
    2: () => [[doubled(dim, half, generator)], half],
    1: () => [[], dim],
    0.5: () => [[new nn.MaxPool2d(2, { stride: 2 })], dim],
  };
  const [layers, width] = resampling[scale]();
  return new nn.Sequential(
    ...layers,
    new NormedConv(width, 1, generator),
    new NormedConv(WIDTH, 3, generator),
  );
}

/** (B, D, h, w) to four maps of 256 channels: 4, 2, 1 and 1/2 times its size. */
class SimplePyramid extends nn.Module<[map: Tensor], Tensor[]> {
  readonly levels: nn.ModuleList<nn.Sequential>;

  constructor(dim: number, generator: Generator) {
    super();
    this.levels = new nn.ModuleList(([4, 2, 1, 0.5] as const).map((scale) => level(dim, scale, generator)));
  }

  forward(map: Tensor): Tensor[] {
    return this.levels.items.map((one) => one.call(map));
  }
}

/**
 * A plain ViT as the encoder of a segmentor: four maps at strides 4, 8, 16 and 32, whatever its patch is. Under the ViT's
 * own names, and `pyramid`, which no published file has.
 */
export class VitBackbone extends VisionTransformer implements Backbone {
  readonly pyramid: SimplePyramid | undefined;

  /**
   * @param options `pyramid`: false for decoders that read the ViT's own map, which is given alone then, at stride 8.
   */
  constructor(
    config: VitConfig,
    generator: Generator,
    { pyramid = true, adapter }: { pyramid?: boolean; adapter?: AdapterConfig | undefined } = {},
  ) {
    super(config, generator, adapter);
    if (pyramid) this.pyramid = new SimplePyramid(config.dim, generator);
  }

  override get taken(): readonly number[] {
    return [this.config.depth];
  }

  override get channels(): readonly number[] {
    return this.pyramid ? STRIDES.map(() => WIDTH) : [this.config.dim];
  }

  override get checkpointable(): nn.AnyModule[] {
    return [...super.checkpointable, ...(this.pyramid?.levels.items ?? [])];
  }

  /** (B, 3, H, W), normalised, to maps whose sides are the image's by the stride, rounded up. */
  override forward(image: Tensor): Tensor[] {
    const size = sizeOf(image);
    const { patch } = this.config;
    const [map] = this.maps(image, this.taken) as [Tensor];
    if (!this.pyramid) return [fitted(map, patch, size, PLAIN_STRIDE)];
    const cells = [patch / 4, patch / 2, patch, 2 * patch];
    const maps = this.pyramid.call(map);
    return maps.map((one, i) => fitted(one, cells[i]!, size, STRIDES[i]!));
  }
}
