// ImageNet's colour statistics, by which every network here expects its input.

import { ops, type Tensor } from '@pgpc/torch';

/** Of RGB values in 0 .. 255. */
export const RGB_MEAN = [123.675, 116.28, 103.53] as const;
export const RGB_STD = [58.395, 57.12, 57.375] as const;

function channels(image: Tensor, values: readonly number[]): Tensor {
  return ops
    .stack(
      values.map((value) => image.newFull([], value)),
      0,
    )
    .view([1, 3, 1, 1]);
}

/** RGB (N, 3, H, W) in 0 .. 1 to zero mean and unit variance. */
export function normalize(image: Tensor): Tensor {
  const mean = channels(
    image,
    RGB_MEAN.map((m) => m / 255),
  );
  return image.sub(mean).div_(
    channels(
      image,
      RGB_STD.map((s) => s / 255),
    ),
  );
}

/** The inverse of {@link normalize}, cut to 0 .. 1. */
export function denormalize(image: Tensor): Tensor {
  const std = channels(
    image,
    RGB_STD.map((s) => s / 255),
  );
  return image
    .mul(std)
    .add_(
      channels(
        image,
        RGB_MEAN.map((m) => m / 255),
      ),
    )
    .clamp_(0, 1);
}
