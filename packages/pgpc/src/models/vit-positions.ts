// How a plain ViT knows where a patch is: DINOv2's learned embedding, resized, and DINOv3's rotations.

import { arange, dims, fromTypedArray, nn, noGrad, ops, type Tensor } from '@pgpc/torch';
import type { PositionResizing } from '../config/vit.js';

/**
 * A learned position embedding for a grid of patches: as it is for a square grid of its own number of patches, else
 * resized by bicubic interpolation (`interpolate_pos_encoding` of the authors' `vision_transformer.py`).
 * @param embedding (1, 1 + side^2, D): the class token's, then the patches' row by row.
 * @returns the class token's, (1, 1, D), and the patches', (1, height x width, D); float32.
 */
export function gridPositions(
  embedding: Tensor,
  [height, width]: readonly [height: number, width: number],
  { offset, antialias }: PositionResizing,
): [ofClass: Tensor, ofPatches: Tensor] {
  const [, count, dim] = dims(embedding, 3);
  const ofClass = embedding.narrow(1, 0, 1);
  const known = embedding.narrow(1, 1, count - 1);
  const side = Math.sqrt(count - 1);
  if (height === side && width === side) return [ofClass, known];
  const map = known.view([1, side, side, dim]).permute([0, 3, 1, 2]); // (1, D, side, side)
  const scales = offset === 0 ? [null, null] : [(height + offset) / side, (width + offset) / side];
  const [down, across] = scales as [number | null, number | null];
  const resized = antialias
    ? map._upsampleBicubic2dAa([height, width], false, down, across)
    : map.upsampleBicubic2d([height, width], false, down, across);
  return [ofClass, resized.flatten(2).transpose(1, 2)];
}

/** Sine and cosine of the angle of each patch and channel of a head, (P, d) each. */
export type Rotations = readonly [sin: Tensor, cos: Tensor];

const BASE = 100;

/**
 * DINOv3's rotations by position (RoPE, by axis): half of a head's channels turn with the row, half with the column, at
 * `d / 4` periods. Positions are the patches' centres, from -1 to 1 along each side.
 */
export class RotaryPositions extends nn.Module<[height: number, width: number], Rotations> {
  /** (d / 4), kept in the authors' files. */
  readonly periods: Tensor;

  /** @param headDim d, a multiple of 4. */
  constructor(headDim: number) {
    super();
    this.periods = this.buffer(rotaryPeriods(headDim));
  }

  /** @param height of the grid, in patches. */
  forward(height: number, width: number): Rotations {
    return noGrad(() => {
      const quarter = this.periods.shape[0]!;
      const grid = [height, width, quarter];
      const rows = this.#angles(height).view([height, 1, quarter]).expand(grid);
      const columns = this.#angles(width).view([1, width, quarter]).expand(grid);
      const angles = ops.cat([rows, columns, rows, columns], 2).flatten(0, 1); // (P, d)
      return [angles.sin(), angles.cos()];
    });
  }

  /** (count, d / 4): of the positions along one side. */
  #angles(count: number): Tensor {
    const { periods } = this;
    const centres = arange(count, { dtype: 'float32', device: periods.device }).add(0.5).div(count);
    const positions = centres.mul(2).sub(1).unsqueeze(1);
    return positions.mul(2 * Math.PI).div(periods);
  }
}

/** (headDim / 4): the periods that DINOv3 was trained with, powers of 100. */
export function rotaryPeriods(headDim: number): Tensor {
  const periods = Float32Array.from({ length: headDim / 4 }, (_, i) => BASE ** ((4 * i) / headDim));
  return fromTypedArray(periods, [periods.length]);
}

/** (3 D): 0 at the biases of keys, which have none beside rotations, 1 at the biases of queries and values. */
export function keyBiasMask(dim: number): Tensor {
  return fromTypedArray(
    Float32Array.from({ length: 3 * dim }, (_, i) => (Math.floor(i / dim) === 1 ? 0 : 1)),
    [3 * dim],
  );
}

/**
 * Turns the channels of a head by its position: (x_i, x_{i + d/2}) by the angle of channel i. The first tokens, which
 * have no position, stay as they are.
 * @param x (B, heads, tokens, d). @param rotations of the last P tokens.
 */
export function rotate(x: Tensor, [sin, cos]: Rotations): Tensor {
  const count = x.shape[2]! - sin.shape[0]!;
  const [still, placed] = x.splitWithSizes([count, sin.shape[0]!], 2) as [Tensor, Tensor];
  const [first, second] = placed.chunk(2, -1) as [Tensor, Tensor];
  const turned = ops.cat([second.neg(), first], -1);
  return ops.cat([still, placed.mul(cos).add(turned.mul(sin))], 2);
}
