// Colour jitter and blur of the mixed image, as DAFormer's pinned kornia computes them; labels stay as they are.

import { alone, arange, dims, ops, type Tensor, type World } from '@pgpc/torch';
import { denormalize, normalize } from '../pipeline/normalize.js';
import type { Rng } from '../random.js';

export interface StrongAugmentOptions {
  /** Probability that the batch is jittered: 0.8 in DAFormer. */
  jitterProbability: number;
  /** Half range of brightness, contrast, saturation and, as a share of a full turn, hue: 0.2 in DAFormer. */
  jitterStrength: number;
  /** Probability that the batch is blurred: 0.5 in DAFormer. */
  blurProbability: number;
  /** One blur width for the whole batch instead of one an image: MIC's, for the images that it masks. */
  sharedBlur?: boolean;
}

/** Range of the blur's width in pixels. */
const BLUR_SIGMA = [0.15, 1.15] as const;

/** Hue, saturation and value of an RGB image (B, 3, H, W) in 0 .. 1; hue is a share of a full turn. */
export function rgbToHsv(image: Tensor): [hue: Tensor, saturation: Tensor, value: Tensor] {
  const [r, g, b] = image.unbind(1) as [Tensor, Tensor, Tensor];
  const [value, index] = image.max(1) as [Tensor, Tensor];
  const delta = value.sub(image.amin([1]));
  const saturation = delta.div(value.add(1e-8));
  const safe = ops.where(delta.eq(0), ops.onesLike(delta), delta);
  const ofRed = g.sub(b).div(safe).remainder(6);
  const ofGreen = b.sub(r).div(safe).add(2);
  const ofBlue = r.sub(g).div(safe).add(4);
  const sextant = ops.where(index.eq(0), ofRed, ops.where(index.eq(1), ofGreen, ofBlue));
  return [sextant.div(6), saturation, value];
}

/** The inverse of {@link rgbToHsv}, by channel n: v - v s max(0, min(k, 4 - k, 1)), k = (n + 6 h) mod 6. */
export function hsvToRgb(hue: Tensor, saturation: Tensor, value: Tensor): Tensor {
  const chroma = value.mul(saturation);
  const channel = (n: number) => {
    const k = hue.mul(6).add(n).remainder(6);
    const share = ops.minimum(k, k.neg().add(4)).clamp(0, 1);
    return value.sub(chroma.mul(share));
  };
  return ops.stack([channel(5), channel(3), channel(1)], 1);
}

/**
 * Brightness (added), contrast (multiplied, no mean subtracted), saturation and hue in a random order.
 * @param image (1, 3, H, W) in 0 .. 1.
 */
export function colorJitter(image: Tensor, strength: number, rng: Rng): Tensor {
  return drawJitter(strength, rng)(image);
}

/** The jitter of one image. All its random numbers are drawn here. */
function drawJitter(strength: number, rng: Rng): (image: Tensor) => Tensor {
  const factor = () => rng.uniform(-strength, strength);
  const brightness = factor();
  const contrast = 1 + factor();
  const saturation = 1 + factor();
  const hue = factor();
  const operations: ((x: Tensor) => Tensor)[] = [
    (x) => x.add(brightness).clamp(0, 1),
    (x) => x.mul(contrast).clamp(0, 1),
    (x) => {
      const [h, s, v] = rgbToHsv(x);
      return hsvToRgb(h, s.mul(saturation).clamp(0, 1), v);
    },
    (x) => {
      const [h, s, v] = rgbToHsv(x);
      return hsvToRgb(h.add(hue).remainder(1), s, v);
    },
  ];
  const order = rng.shuffle(operations);
  return (image) => order.reduce((x, operation) => operation(x), image);
}

/** DAFormer's kernel side for an image side: odd, about a tenth of it (51 for 512). */
export function blurKernelSize(side: number): number {
  const c = Math.ceil(0.1 * side);
  return Math.floor(c - 0.5 + (c % 2));
}

/** The normalised weights of a Gaussian at whole distances from its middle, on the image's device: (size). */
function gaussian(size: number, sigma: number, { dtype, device }: Tensor): Tensor {
  const distance = arange(size, { dtype, device }).sub(size >> 1);
  return distance
    .square()
    .mul(-0.5 / sigma ** 2)
    .softmax(0);
}

/** Separable Gaussian blur with reflected borders. @param image (1, D, H, W). */
export function gaussianBlur(image: Tensor, sigma: number): Tensor {
  const [, channels, height, width] = dims(image, 4);
  // Beyond 8 sigma a weight is below 1e-14 of the middle one, which does not show in float32. A GPU gets
  // one width for all: a narrower kernel saves less than cuDNN loses in trying out its algorithms for every width.
  const reach = 2 * Math.ceil(8 * (image.device === 'cpu' ? sigma : Math.max(sigma, BLUR_SIGMA[1]))) + 1;
  const kx = Math.min(blurKernelSize(width), reach);
  const ky = Math.min(blurKernelSize(height), reach);
  const horizontal = gaussian(kx, sigma, image).view([1, 1, 1, kx]).expand([channels, 1, 1, kx]);
  const vertical = gaussian(ky, sigma, image).view([1, 1, ky, 1]).expand([channels, 1, ky, 1]);
  const padded = image.pad([kx >> 1, kx >> 1, ky >> 1, ky >> 1], 'reflect');
  const options = { groups: channels };
  return ops.conv2d(ops.conv2d(padded, horizontal, options), vertical, options);
}

/**
 * Jitters and blurs the batch with the given probabilities; factors and blur width are drawn for each image.
 * @param image (B, 3, H, W), normalised; so is the result.
 * @param world the ranks that share the batch. Every rank draws for all images, in their order.
 */
export function strongAugment(
  image: Tensor,
  options: StrongAugmentOptions,
  rng: Rng,
  world: World = alone,
): Tensor {
  const jitter = rng.next() < options.jitterProbability;
  const blur = rng.next() < options.blurProbability;
  if (!jitter && !blur) return image;
  const drawn = Array.from({ length: image.shape[0]! * world.size }, () => ({
    jitter: jitter ? drawJitter(options.jitterStrength, rng) : undefined,
    sigma: blur ? rng.uniform(...BLUR_SIGMA) : undefined,
  }));
  if (options.sharedBlur) for (const one of drawn) one.sigma = drawn[0]!.sigma;
  const first = image.shape[0]! * world.rank;
  const images = image.split(1).map((single, i) => {
    const { jitter, sigma } = drawn[first + i]!;
    const x = jitter ? normalize(jitter(denormalize(single))) : single;
    return sigma === undefined ? x : gaussianBlur(x, sigma);
  });
  return ops.cat(images);
}
