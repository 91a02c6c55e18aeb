// The network that is trained: a segmentor and, where the method contrasts pixels, a projection head.

import { type AutocastDtype, Generator, nn } from '@pgpc/torch';
import type { SegmentorConfig } from '../config/segmentor.js';
import { Segmentor } from '../models/segmentor.js';
import { seedFor } from '../random.js';
import { ProjectionHead } from './contrast/projection-head.js';

/** Student and teacher are of this form alike. */
export class Learner extends nn.StateModule {
  readonly segmentor: Segmentor;
  readonly projection: ProjectionHead | undefined;

  /** @param projection width and depth of the head, left out where no pixels are contrasted. */
  constructor(config: SegmentorConfig, seed: number, projection?: { width: number; depth: number }) {
    super();
    this.segmentor = new Segmentor(config, seed);
    if (projection) {
      const { width, depth } = projection;
      // Not the segmentor's generator: its masks of dropout should be the same with and without this head.
      using generator = new Generator(seedFor(seed, 'projection'));
      this.projection = new ProjectionHead(this.segmentor.featureChannels, width, depth, generator);
    }
  }

  /** Has both parts run in automatic mixed precision, or, with undefined, in float32. */
  autocast_(dtype: AutocastDtype): this {
    this.segmentor.backbone.autocast_(dtype);
    this.segmentor.decodeHead.autocast_(dtype);
    this.projection?.autocast_(dtype);
    return this;
  }
}
