// Thing-class ImageNet feature distance (DAFormer, arXiv 2111.14887, section 3.3, eq 9 to 12).

import {
  alone,
  keep,
  type nn,
  noGrad,
  ops,
  sizeOf,
  type Tensor,
  tensor,
  tidy,
  type World,
} from '@pgpc/torch';
import type { FeatureDistanceOptions } from '../config/feature-distance.js';
import { singlePrecision } from '../pixels.js';

/** What {@link thingMask} goes by. */
export interface Things {
  /** (T): the classes, of the label's dtype and on its device. */
  classes: Tensor;
  minShare: number;
}

/**
 * Which features lie on the given classes (eq 11). The label is pooled to the features' size. A position counts where one
 * of the classes covers at least `minShare` of its patch.
 * @param label (B, H, W), trainIds. @param size h and w of the features. @returns (B, h, w), 0 or 1, float32.
 */
export function thingMask(
  label: Tensor,
  size: readonly [height: number, width: number],
  { classes, minShare }: Things,
): Tensor {
  return tidy(() => {
    const [height, width] = sizeOf(label);
    const patch: [number, number] = [Math.floor(height / size[0]), Math.floor(width / size[1])];
    const isThing = label.unsqueeze(1).eq(classes.view([1, -1, 1, 1]));
    const share = ops.avgPool2d(isThing.to('float32'), patch, patch);
    return share.amax([1]).ge(minShare).to('float32').narrow(1, 0, size[0]).narrow(2, 0, size[1]);
  });
}

/**
 * Mean Euclidean distance between the student's and the frozen network's features at the masked positions (eq 9, 10);
 * 0 where no position counts. Gradients go to `features` alone. Computed in float32 at least.
 * @param features (B, D, h, w). @param frozen as `features`. @param mask (B, h, w), 0 or 1.
 * @param world the ranks that share the batch. The mean of what they return is the mean over all positions.
 * @returns scalar.
 */
export function featureDistance(
  features: Tensor,
  frozen: Tensor,
  mask: Tensor,
  world: World = alone,
): Tensor {
  // A difference takes the wider type of its two sides.
  const distance = features.sub(singlePrecision(frozen.detach())).norm(2, [1]);
  const positions = world.mean(mask.sum());
  return distance
    .mul(mask)
    .sum()
    .div(positions.clampMin(1 / world.size));
}

/** The loss with its frozen network: the encoder as it was when training began, with ImageNet's weights. */
export class FeatureDistance {
  /** (T), int64: kept on the device, so that no step copies them from the host. */
  readonly #classes: Tensor;

  /**
   * @param encoder of the student's form, on the device of images and features. The caller loads its weights. It is
   *   frozen here, and freed by {@link dispose}.
   */
  constructor(
    readonly encoder: nn.Module<[image: Tensor], Tensor[]>,
    readonly options: FeatureDistanceOptions,
    readonly world: World = alone,
  ) {
    encoder.eval().requiresGrad_(false);
    const { device } = encoder.parameters()[0]!;
    this.#classes = keep(tensor([...options.classes], { dtype: 'int64', device }));
  }

  /**
   * lambda_FD L_FD (eq 9).
   * @param image the clean source batch, (B, 3, H, W). @param label (B, H, W), int64.
   * @param features the student's last encoder stage for that batch, (B, D, h, w).
   */
  loss(image: Tensor, label: Tensor, features: Tensor): Tensor {
    return tidy(() => {
      const frozen = noGrad(() => this.encoder.call(image).at(-1)!);
      const things = { classes: this.#classes, minShare: this.options.minShare };
      const mask = thingMask(label, sizeOf(features), things);
      return featureDistance(features, frozen, mask, this.world).mul(this.options.weight);
    });
  }

  dispose(): void {
    this.encoder.dispose();
    this.#classes.dispose();
  }
}
