// ImageNet's colour statistics, by which every network here expects its input.

import { keep, type Tensor, tensor } from '@pgpc/torch';
import { RGB_MEAN, RGB_STD } from '../config/normalisation.js';

/** Both in the scale of 0 .. 1, (1, 3, 1, 1). */
interface ColourStatistics {
  readonly mean: Tensor;
  readonly std: Tensor;
}

function statisticsOn(device: string): ColourStatistics {
  const constant = (values: readonly number[]) =>
    keep(tensor([values.map((value) => [[value / 255]])], { device }));
  return { mean: constant(RGB_MEAN), std: constant(RGB_STD) };
}

/**
 * Kept for each device: making them for every image would take many small kernels, or a copy from the host. The CPU's
 * are made at the start, so that using them leaves no more tensors than there were before.
 */
const statistics = new Map([['cpu', statisticsOn('cpu')]]);

function statisticsFor({ device }: Tensor): ColourStatistics {
  const known = statistics.get(device);
  if (known) return known;
  const made = statisticsOn(device);
  statistics.set(device, made);
  return made;
}

/** RGB (B, 3, H, W) in 0 .. 1 to zero mean and unit variance, on the image's device. */
export function normalize(image: Tensor): Tensor {
  const { mean, std } = statisticsFor(image);
  return image.sub(mean).div_(std);
}

/** {@link normalize} in the image's own memory. */
export function normalize_(image: Tensor): Tensor {
  const { mean, std } = statisticsFor(image);
  return image.sub_(mean).div_(std);
}

/** The inverse of {@link normalize}, cut to 0 .. 1. */
export function denormalize(image: Tensor): Tensor {
  const { mean, std } = statisticsFor(image);
  return image.mul(std).add_(mean).clamp_(0, 1);
}
