// h of METHOD: maps decoder features to the unit sphere on which pixels are contrasted.

import { type Generator, nn, type Tensor } from '@pgpc/torch';
import { singlePrecision } from '../../pixels.js';

/**
 * z = normalize(h(features)): `depth` linear layers with ReLU between. It equals a stack of 1x1 convolutions, but works on
 * a list of pixels, so that it runs only on the pixels that are used. Hence it has no batch norm.
 */
export class ProjectionHead extends nn.Module {
  readonly layers: nn.ModuleList<nn.Linear>;

  /**
   * @param channels of the decoder's features.
   * @param width D, of z; 256 in the paper.
   */
  constructor(channels: number, width: number, depth: number, generator: Generator) {
    super();
    const linear = (from: number) => new nn.Linear(from, width, { generator });
    this.layers = new nn.ModuleList(
      Array.from({ length: depth }, (_, i) => linear(i === 0 ? channels : width)),
    );
  }

  /** (P, channels) to (P, D), rows of unit length; float32 also where the layers run in 16 bits. */
  forward(pixels: Tensor): Tensor {
    // For all pixels each of these is tens of megabytes: what nothing needs any more is overwritten.
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
