// h of METHOD: maps decoder features to the unit sphere on which pixels are contrasted.

import { type Generator, nn, type Tensor } from '@pgpc/torch';
import { singlePrecision } from '../../pixels.js';

/**
 * z = normalize(h(features)): `depth` linear layers with ReLU between. It is a 1x1 convolution written on a list of
 * pixels, so that it runs only on the pixels that are used; hence no batch norm.
 */
export class ProjectionHead extends nn.Module {
  readonly layers: nn.ModuleList<nn.Linear>;

  /**
   * @param channels of the decoder's features.
   * @param width of z; 256 in the paper.
   */
  constructor(channels: number, width: number, depth: number, generator: Generator) {
    super();
    const linear = (from: number) => new nn.Linear(from, width, { generator });
    this.layers = new nn.ModuleList(
      Array.from({ length: depth }, (_, i) => linear(i === 0 ? channels : width)),
    );
  }

  /** (pixels, channels) to (pixels, width), each of unit length: in float32 where the layers run in 16 bits. */
  forward(pixels: Tensor): Tensor {
    // Of all pixels these are tens of megabytes each: what nothing needs any more is overwritten.
    const last = this.layers.items.reduce((x, layer, i) => layer.call(i === 0 ? x : x.relu_()), pixels);
    const h = singlePrecision(last);
    return h.requiresGrad ? normalizeRows(h) : h.div_(rowLengths(h));
  }
}

/** Rows of unit length; a row of zeros stays one. */
export function normalizeRows(rows: Tensor): Tensor {
  return rows.div(rowLengths(rows));
}

function rowLengths(rows: Tensor): Tensor {
  return rows.norm(2, [-1], true).clampMin(1e-12);
}
