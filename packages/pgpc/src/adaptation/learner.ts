// The network that is trained: a segmentor and, where the method contrasts pixels, a projection head.

import { type AutocastDtype, Generator, nn } from '@pgpc/torch';
import type { ContrastOptions } from '../config/contrast.js';
import type { SegmentorConfig } from '../config/segmentor.js';
import { Segmentor } from '../models/segmentor.js';
import { seedFor } from '../random.js';
import { ProjectionHead, type ProjectionOptions } from './contrast/projection-head.js';

/** The form of a projection head, and whose features it projects. */
export type LearnerProjection = ProjectionOptions & Pick<ContrastOptions, 'features'>;

/** Student and teacher are of this form alike. */
export class Learner extends nn.StateModule {
  readonly segmentor: Segmentor;
  readonly projection: ProjectionHead | undefined;

  /** @param projection form of the head, left out where no pixels are contrasted. */
  constructor(config: SegmentorConfig, seed: number, projection?: LearnerProjection) {
    super();
    this.segmentor = new Segmentor(config, seed);
    if (projection) {
      // Not the segmentor's generator: its masks of dropout should be the same with and without this head.
      using generator = new Generator(seedFor(seed, 'projection'));
      const { backbone, featureChannels } = this.segmentor;
      const channels = projection.features === 'encoder' ? backbone.channels : featureChannels;
      this.projection = new ProjectionHead(channels, projection, generator);
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
