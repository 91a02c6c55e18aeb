// Denoising of the teacher's view, by one of two strategies, for the pseudo-labels, for the contrast, or for both.

import { alone, nn, noGrad, sizeOf, type Tensor, tidy, type World } from '@pgpc/torch';
import type { DenoiseOptions } from '../../config/denoise.js';
import { agreement, viewsOf } from '../../experiments/agreement.js';
import { pixelMap, pixelRows, singlePrecision } from '../../pixels.js';
import type { TeacherView } from '../contrast/contrast.js';
import type { Part, RefinedView } from '../parts.js';
import type { PseudoLabels } from '../pseudo-labels.js';
import { ClassPrototypes } from './prototypes.js';

/** One strategy with what it remembers from step to step. */
export class Denoiser implements Part {
  readonly recordable = true;
  /** Of the strategy `prototypes` alone. */
  readonly prototypes: ClassPrototypes | undefined;

  /** @param width channels of the teacher's features. */
  constructor(
    readonly options: DenoiseOptions,
    classes: number,
    width: number,
    world: World = alone,
  ) {
    if (options.kind === 'prototypes') this.prototypes = new ClassPrototypes(classes, width, options, world);
  }

  /**
   * Cleans one batch, without gradient. Logits become logs of the refined probabilities; features stay. The prototypes
   * judge the batch first, and take it in afterwards.
   * @param view the teacher's, of `image`. @param image (B, 3, H, W), normalised.
   * @param predict the teacher's logits of an image, for further views.
   * @param glance whether the prototypes do not take it in.
   */
  refine(view: TeacherView, image: Tensor, predict: (image: Tensor) => Tensor, glance = false): RefinedView {
    const { logits, trust } = tidy(() => noGrad(() => this.#clean(view, image, predict, glance)));
    const cleaned = { ...view, logits };
    switch (this.options.where) {
      case 'labels':
        return { labels: cleaned, contrast: view, trust };
      case 'contrast':
        return { labels: view, contrast: cleaned };
      case 'both':
        return { labels: cleaned, contrast: cleaned, trust };
    }
  }

  #clean(
    { features, logits }: TeacherView,
    image: Tensor,
    predict: (image: Tensor) => Tensor,
    glance: boolean,
  ): { logits: Tensor; trust?: Tensor } {
    const { options, prototypes } = this;
    if (options.kind === 'agreement') return agreement(viewsOf(logits, image, predict, options));
    const rows = singlePrecision(pixelRows(features));
    const refined = logits
      .logSoftmax(1)
      .add(pixelMap(prototypes!.logWeights(rows), logits))
      .logSoftmax(1);
    if (!glance) prototypes!.update(rows, logits.argmax(1).flatten());
    return { logits: refined };
  }

  /** What it remembers by name, for a checkpoint; empty for `agreement`. */
  stateDict(): Map<string, Tensor> {
    return this.prototypes?.stateDict() ?? new Map();
  }

  /** Copies what {@link stateDict} gave. @throws Error if names or shapes do not fit. */
  loadStateDict(state: ReadonlyMap<string, Tensor>): void {
    this.prototypes?.loadStateDict(new Map(state));
  }

  /** Moves the prototypes, if there are any, to a device: that of the teacher's views. */
  to({ device }: { device: string }): this {
    this.prototypes?.to({ device });
    return this;
  }

  dispose(): void {
    this.prototypes?.dispose();
  }
}

/** The weights of pseudo-labels times the trust in them, at the size of the labels. */
export function trusted(pseudo: PseudoLabels, trust: Tensor | undefined): PseudoLabels {
  if (!trust) return pseudo;
  const size = sizeOf(pseudo.weight);
  return { ...pseudo, weight: pseudo.weight.mul(nn.interpolate(trust.unsqueeze(1), size).squeeze(1)) };
}
