// Projections of pixels at the decoder's resolution, made only where they are asked for.

import { sizeOf, type Tensor } from '@pgpc/torch';
import { pixelRows, singlePrecision } from '../../pixels.js';
import type { ProjectionHead } from './projection-head.js';

/** The rows of {@link pixelRows} at some positions, (..), taken from the map itself: (.., D). */
function pixelsAt(map: Tensor, index: Tensor): Tensor {
  const [height, width] = sizeOf(map);
  const image = index.div(height * width, { roundingMode: 'floor' });
  const place = index.remainder(height * width);
  // A copy of the whole map as rows would cost ten times as much as the few pixels that are taken.
  return map.flatten(2).transpose(1, 2).index([image, place]).contiguous();
}

/** z of a batch's pixels: float32, whatever the features are. */
export class ProjectedPixels {
  #all: Tensor | undefined;

  /** @param features (B, D, h, w). */
  constructor(
    readonly features: Tensor,
    readonly head: ProjectionHead,
  ) {}

  /** Of all pixels, in reading order: (P, D), unit rows. */
  all(): Tensor {
    this.#all ??= this.head.call(singlePrecision(pixelRows(this.features)));
    return this.#all;
  }

  /** Of the pixels at some positions, (..): (.., D). The head runs on those alone, unless it ran on all before. */
  at(index: Tensor): Tensor {
    if (this.#all) return this.#all.index([index]);
    const z = this.head.call(singlePrecision(pixelsAt(this.features, index).flatten(0, -2)));
    return z.view([...index.shape, z.shape[1]!]);
  }
}
