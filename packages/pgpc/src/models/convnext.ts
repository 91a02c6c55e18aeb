// ConvNeXt (Liu et al. 2022, arXiv 2201.03545) as DINOv3 distilled it (Siméoni et al. 2025, arXiv 2508.10104).

import { full, type Generator, nn, ops, sizeOf, type Tensor } from '@pgpc/torch';
import type { ConvnextName } from '../config/segmentor.js';
import type { Backbone } from './decoder.js';
import { fitted, paddedTo } from './fit-image.js';
import { resetTruncated } from './initial-values.js';
import { MapNorm } from './map-norm.js';

/** What tells the sizes apart. */
export interface ConvnextConfig {
  /** Channels of the four stages. */
  readonly dims: readonly [number, number, number, number];
  /** Blocks of the four stages. */
  readonly depths: readonly [number, number, number, number];
}

export const convnextConfigs: Readonly<Record<ConvnextName, ConvnextConfig>> = {
  dinov3_convnext_tiny: { dims: [96, 192, 384, 768], depths: [3, 3, 9, 3] },
  dinov3_convnext_small: { dims: [96, 192, 384, 768], depths: [3, 3, 27, 3] },
  dinov3_convnext_base: { dims: [128, 256, 512, 1024], depths: [3, 3, 27, 3] },
  dinov3_convnext_large: { dims: [192, 384, 768, 1536], depths: [3, 3, 27, 3] },
};

const STRIDES = [4, 8, 16, 32] as const;
const NORM_EPS = 1e-6;
/** What the scales of the residual branches begin with. */
const LAYER_SCALE = 1e-6;

class Block extends nn.Module {
  readonly gamma: Tensor;
  readonly dwconv: nn.Conv2d;
  readonly norm: nn.LayerNorm;
  readonly pwconv1: nn.Linear;
  readonly pwconv2: nn.Linear;

  constructor(dim: number, generator: Generator) {
    super();
    this.gamma = this.parameter(full([dim], LAYER_SCALE));
    this.dwconv = resetTruncated(
      new nn.Conv2d(dim, dim, 7, { padding: 3, groups: dim, generator }),
      generator,
    );
    this.norm = new nn.LayerNorm(dim, { eps: NORM_EPS, narrow: true });
    this.pwconv1 = resetTruncated(new nn.Linear(dim, 4 * dim, { generator }), generator);
    this.pwconv2 = resetTruncated(new nn.Linear(4 * dim, dim, { generator }), generator);
  }

  /** (B, D, h, w) to (B, D, h, w). */
  forward(map: Tensor): Tensor {
    const rows = this.dwconv.call(map).permute([0, 2, 3, 1]); // (B, h, w, D)
    const branch = this.pwconv2.call(ops.gelu(this.pwconv1.call(this.norm.call(rows))));
    return map.permute([0, 2, 3, 1]).addcmul(branch, this.gamma).permute([0, 3, 1, 2]);
  }
}

/** The four-stage encoder, with the parameter names of the official `dinov3_convnext_*.pth`. */
export class Convnext extends nn.Module<[image: Tensor], Tensor[]> implements Backbone {
  readonly channels: readonly number[];
  readonly downsampleLayers: nn.ModuleList<nn.Sequential>;
  readonly stages: nn.ModuleList<nn.Sequential>;
  readonly norm: nn.LayerNorm;

  /** @param generator for initial values. */
  constructor(config: ConvnextConfig, generator: Generator) {
    super();
    this.channels = config.dims;
    const strided = (from: number, to: number, side: number) =>
      resetTruncated(new nn.Conv2d(from, to, side, { stride: side, generator }), generator);
    this.downsampleLayers = new nn.ModuleList(
      config.dims.map((dim, i) => {
        if (i === 0) return new nn.Sequential(strided(3, dim, 4), new MapNorm(dim));
        const from = config.dims[i - 1]!;
        return new nn.Sequential(new MapNorm(from), strided(from, dim, 2));
      }),
    );
    this.stages = new nn.ModuleList(
      config.dims.map((dim, i) => {
        const blocks = Array.from({ length: config.depths[i]! }, () => new Block(dim, generator));
        return new nn.Sequential(...blocks);
      }),
    );
    this.norm = new MapNorm(config.dims.at(-1)!);
  }

  get checkpointable(): nn.AnyModule[] {
    return [...this.downsampleLayers, ...this.stages.items.flatMap(({ layers }) => layers), this.norm];
  }

  /**
   * (B, 3, H, W), normalised, to maps at strides 4, 8, 16 and 32; the last after the closing norm. Images are padded to
   * multiples of 32, as a plain transformer pads them to its patches.
   */
  forward(image: Tensor): Tensor[] {
    const size = sizeOf(image);
    const outputs: Tensor[] = [];
    let map = paddedTo(image, STRIDES[3]);
    for (const [i, downsample] of this.downsampleLayers.items.entries()) {
      map = this.stages.items[i]!.call(downsample.call(map));
      outputs.push(i === 3 ? this.norm.call(map) : map);
    }
    return outputs.map((one, i) => fitted(one, STRIDES[i]!, size, STRIDES[i]!));
  }
}
