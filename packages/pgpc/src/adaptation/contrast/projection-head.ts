// h of METHOD: maps features to the unit sphere on which pixels are contrasted.

import { type AutocastDtype, type Generator, nn, ops, sizeOf, type Tensor, tidy } from '@pgpc/torch';
import type { ContrastOptions } from '../../config/contrast.js';
import type { SegmentorOutput } from '../../models/segmentor.js';
import { pixelMap, pixelRows, singlePrecision } from '../../pixels.js';

/** The form of the head. */
export type ProjectionOptions = Pick<ContrastOptions, 'width' | 'depth' | 'norm'>;

/** The encoder's stages, resized bilinearly to (h, w) and concatenated: (B, sum of their widths, h, w). */
export function fusedStages(stages: readonly Tensor[], size: readonly [number, number]): Tensor {
  return tidy(() =>
    ops.cat(
      stages.map((stage) => nn.interpolate(stage, size)),
      1,
    ),
  );
}

/**
 * z = normalize(h(features)): `depth` linear layers with ReLU between. It equals a stack of 1x1 convolutions, but works on
 * a list of pixels, so that it runs only on the pixels that are used. Hence it has no batch norm: anchors, drawn class by
 * class, and banks would be normalised by statistics of unlike pixels. A layer norm before each ReLU needs none.
 *
 * Of the encoder's features, the first layer has a part for each stage, which runs at the stage's own resolution: resizing
 * what it gives equals resizing what it reads, and its maps are much smaller than what {@link fusedStages} gives.
 */
export class ProjectionHead extends nn.Module {
  /** The first layer's part of each stage; none of the decoder's features. */
  readonly stages: nn.ModuleList<nn.Linear>;
  readonly layers: nn.ModuleList<nn.Linear>;
  /** One for each ReLU, or none. */
  readonly norms: nn.ModuleList<nn.LayerNorm>;

  /**
   * @param channels of the decoder's features, or of each of the encoder's stages.
   * @param options `width` is D, of z; 256 in the paper.
   */
  constructor(
    channels: number | readonly number[],
    { width, depth, norm = 'none' }: ProjectionOptions,
    generator: Generator,
  ) {
    super();
    const ofStages = typeof channels === 'number' ? [] : channels;
    // One bias is enough for their sum.
    const stage = (from: number, i: number) => new nn.Linear(from, width, { generator, bias: i === 0 });
    this.stages = new nn.ModuleList(ofStages.map(stage));
    const first = typeof channels === 'number' ? [new nn.Linear(channels, width, { generator })] : [];
    const others = Array.from({ length: depth - 1 }, () => new nn.Linear(width, width, { generator }));
    this.layers = new nn.ModuleList([...first, ...others]);
    const norms = norm === 'layer' ? depth - 1 : 0;
    this.norms = new nn.ModuleList(Array.from({ length: norms }, () => new nn.LayerNorm(width)));
  }

  /**
   * What {@link forward} reads, as a map at the decoder's resolution: the decoder's features, or what the first layer makes of
   * the encoder's stages, (B, width, h, w).
   */
  input({ features, stages }: Pick<SegmentorOutput, 'features' | 'stages'>): Tensor {
    if (this.stages.items.length === 0) return features;
    const size = sizeOf(features);
    return tidy(() =>
      this.stages.items
        .map((layer, i) => {
          const rows = layer.call(pixelRows(stages[i]!));
          return nn.interpolate(pixelMap(rows, stages[i]!), size);
        })
        .reduce((sum, map) => sum.add(map)),
    );
  }

  /** Also for the layers that {@link input} calls. */
  override autocast_(dtype: AutocastDtype): this {
    for (const stage of this.stages.items) stage.autocast_(dtype);
    return super.autocast_(dtype);
  }

  /** (P, D') of {@link input} to (P, D), rows of unit length; float32 also where the layers run in 16 bits. */
  forward(pixels: Tensor): Tensor {
    const ofStages = this.stages.items.length > 0;
    const last = this.layers.items.reduce((x, layer, i) => {
      const depth = ofStages ? i + 1 : i;
      if (depth === 0) return layer.call(x);
      const normed = this.norms.items[depth - 1]?.call(x) ?? x;
      // For all pixels each of these is tens of megabytes: what nothing needs any more is overwritten.
      return layer.call(normed === pixels ? normed.relu() : normed.relu_());
    }, pixels);
    const h = singlePrecision(last);
    return h.requiresGrad || h === pixels ? normalizeRows(h) : h.div_(rowLengths(h));
  }
}

/** Rows of unit length; a row of zeros stays one. */
export function normalizeRows(rows: Tensor): Tensor {
  return rows.div(rowLengths(rows));
}

function rowLengths(rows: Tensor): Tensor {
  return rows.norm(2, [-1], true).clampMin(1e-12);
}
