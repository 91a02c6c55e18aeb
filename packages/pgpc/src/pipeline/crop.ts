// Random crops and flips of images with their labels, as DAFormer's data pipeline makes them.

import { keep, ops, type Tensor, tidy } from '@pgpc/torch';
import { IGNORE_INDEX } from '../datasets/cityscapes-classes.js';
import { normalize } from './normalize.js';
import type { Pixels } from './pixels.js';
import type { Rng } from './rng.js';

export interface CropOptions {
  width: number;
  height: number;
  /** A crop in which one class fills more of the labelled pixels is drawn again, up to ten times: 0.75 in DAFormer. */
  catMaxRatio: number;
  /** Probability of a horizontal flip. */
  flip: number;
}

/** Where a crop lies and whether it is mirrored. */
export interface Window {
  top: number;
  left: number;
  mirrored: boolean;
}

const TRIES = 10;

function randomOrigin(size: readonly number[], { width, height }: CropOptions, rng: Rng): [number, number] {
  const [imageHeight, imageWidth] = size as [number, number];
  return [rng.below(Math.max(0, imageHeight - height) + 1), rng.below(Math.max(0, imageWidth - width) + 1)];
}

/** The window of a map, mirrored and then padded to the right and below, as the reference orders it. */
function cut(
  map: Tensor,
  { top, left, mirrored }: Window,
  { width, height }: CropOptions,
  fill: number,
): Tensor {
  const [imageHeight, imageWidth] = map.shape.slice(-2) as [number, number];
  const h = Math.min(height, imageHeight);
  const w = Math.min(width, imageWidth);
  const window = map.narrow(-2, top, h).narrow(-1, left, w);
  const seen = mirrored ? window.flip([-1]) : window;
  return h < height || w < width ? seen.constantPadNd([0, width - w, 0, height - h], fill) : seen;
}

function histogram(label: Tensor): number[] {
  return Array.from(label.flatten().bincount(null, 256).toArray(), Number);
}

/** More than one class, and none that fills more than the given share of the labelled pixels. */
function isVaried(counts: readonly number[], catMaxRatio: number): boolean {
  const classes = counts.slice(0, IGNORE_INDEX).filter((n) => n > 0);
  const labelled = classes.reduce((sum, n) => sum + n, 0);
  return classes.length > 1 && Math.max(...classes) / labelled < catMaxRatio;
}

/**
 * Draws a window; a labelled image's is drawn again while it is too uniform, or shows too little of `wanted`.
 * @param wanted a class that should cover more than `pixels` pixels of the crop.
 */
export function drawWindow(
  { image, label }: Pixels,
  options: CropOptions,
  rng: Rng,
  wanted?: { class: number; pixels: number },
): Window {
  const size = image.shape.slice(1);
  let window: Window = { top: 0, left: 0, mirrored: false };
  for (let attempt = 0; attempt < (wanted ? TRIES : 1); attempt++) {
    let counts: number[] = [];
    for (let draw = 0; draw < TRIES; draw++) {
      const [top, left] = randomOrigin(size, options, rng);
      window = { top, left, mirrored: false };
      if (!label) break;
      counts = tidy(() => histogram(cut(label, window, options, IGNORE_INDEX)));
      if (isVaried(counts, options.catMaxRatio)) break;
    }
    window.mirrored = rng.next() < options.flip;
    if (!wanted || counts[wanted.class]! > wanted.pixels) break;
  }
  return window;
}

/** Crops of several samples as one normalised batch (N, 3, h, w); padding is 0 after normalisation. */
export function imageBatch(
  crops: readonly { pixels: Pixels; window: Window }[],
  options: CropOptions,
): Tensor {
  return tidy(() =>
    keep(
      ops.cat(
        crops.map(({ pixels, window }) => {
          const whole = { ...options, height: Math.min(options.height, pixels.image.shape[1]!) };
          whole.width = Math.min(options.width, pixels.image.shape[2]!);
          const image = cut(pixels.image, { ...window, mirrored: false }, whole, 0);
          const normal = normalize(image.unsqueeze(0).to('float32').div_(255));
          return cut(normal, { ...window, top: 0, left: 0 }, options, 0);
        }),
      ),
    ),
  );
}

/** The labels of the same crops: (N, h, w), int64; padding is 255. */
export function labelBatch(
  crops: readonly { pixels: Pixels; window: Window }[],
  options: CropOptions,
): Tensor {
  return tidy(() =>
    keep(
      ops
        .stack(crops.map(({ pixels, window }) => cut(pixels.label!, window, options, IGNORE_INDEX)))
        .to('int64'),
    ),
  );
}

/** A whole image, normalised: (1, 3, H, W). */
export function wholeImage(pixels: Pixels): Tensor {
  return tidy(() => normalize(pixels.image.unsqueeze(0).to('float32').div_(255)));
}
