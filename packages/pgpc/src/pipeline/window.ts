// Windows of random crops and flips, as DAFormer's data pipeline draws them, and the labels there.

import type { ScaledLabel, Size } from '@pgpc/datasets';
import { IGNORE_INDEX } from '@pgpc/datasets';
import type { Rng } from '../random.js';

export interface CropOptions {
  width: number;
  height: number;
  /**
   * A crop in which one class fills this share of the labelled pixels, or more, is drawn again, up to ten times: 0.75
   * in DAFormer; 1: every crop is taken.
   */
  catMaxRatio: number;
  /** Probability of a horizontal flip. */
  flip: number;
}

/** Where a crop lies and whether it is mirrored. */
export interface Window {
  top: number;
  left: number;
  mirrored: boolean;
  /** What the label shows there, row by row and not mirrored; undefined where nothing depended on it. */
  trainIds?: Uint8Array;
}

/** A class that should cover more than `pixels` pixels of the crop. */
export interface Wanted {
  class: number;
  pixels: number;
}

/** How often a crop that does not qualify is drawn again; the last one is taken as it is. */
const REDRAWS = 10;

/** The part of a crop that lies inside the image: all of it, unless the image is smaller. */
export function seenSize({ width, height }: Size, crop: CropOptions): Size {
  return { width: Math.min(width, crop.width), height: Math.min(height, crop.height) };
}

/** The part of a label at a window, row by row. */
function cut({ data, trainIds, rows, columns }: ScaledLabel, { top, left }: Window, seen: Size): Uint8Array {
  const { width, height } = seen;
  const result = new Uint8Array(width * height);
  const across = columns.subarray(left, left + width);
  for (let y = 0, to = 0; y < height; y++) {
    const row = rows[top + y]!;
    for (let x = 0; x < width; x++) result[to++] = trainIds[data[row + across[x]!]!]!;
  }
  return result;
}

/** Pixels of every trainId. */
function histogram(trainIds: Uint8Array): Uint32Array {
  const counts = new Uint32Array(256);
  for (let i = 0; i < trainIds.length; i++) counts[trainIds[i]!]!++;
  return counts;
}

/** More than one class, and none that fills the given share of the labelled pixels. */
function isVaried(counts: Uint32Array, catMaxRatio: number): boolean {
  const classes = counts.subarray(0, IGNORE_INDEX).filter((n) => n > 0);
  const labelled = classes.reduce((sum, n) => sum + n, 0);
  return classes.length > 1 && Math.max(...classes) / labelled < catMaxRatio;
}

/**
 * Draws a window; a labelled image's is drawn again while it is too uniform (mmseg's RandomCrop) or shows too little
 * of `wanted` (DAFormer's rare class sampling), each up to ten times.
 * @param size of the image after resizing. @param label of the same size; undefined: every window is taken.
 */
export function drawWindow(
  size: Size,
  label: ScaledLabel | undefined,
  options: CropOptions,
  rng: Rng,
  wanted?: Wanted,
): Window {
  const seen = seenSize(size, options);
  for (let attempt = 0; ; attempt++) {
    const { window, counts } = drawVaried(size, seen, label, options, rng);
    window.mirrored = rng.next() < options.flip;
    if (!label || !wanted || attempt === REDRAWS) return window;
    window.trainIds ??= cut(label, window, seen);
    if ((counts ?? histogram(window.trainIds))[wanted.class]! > wanted.pixels) return window;
  }
}

function drawVaried(
  size: Size,
  seen: Size,
  label: ScaledLabel | undefined,
  { catMaxRatio }: CropOptions,
  rng: Rng,
): { window: Window; counts?: Uint32Array } {
  for (let draw = 0; ; draw++) {
    const window: Window = {
      top: rng.below(size.height - seen.height + 1),
      left: rng.below(size.width - seen.width + 1),
      mirrored: false,
    };
    if (!label || catMaxRatio >= 1 || draw === REDRAWS) return { window };
    window.trainIds = cut(label, window, seen);
    const counts = histogram(window.trainIds);
    if (isVaried(counts, catMaxRatio)) return { window, counts };
  }
}

/** The label at a window, mirrored, then padded with 255 to the right and below: (crop height, crop width). */
export function cropLabel(label: ScaledLabel, window: Window, crop: CropOptions): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(crop.width * crop.height).fill(IGNORE_INDEX);
  const seen = seenSize({ width: label.columns.length, height: label.rows.length }, crop);
  const trainIds = window.trainIds ?? cut(label, window, seen);
  for (let y = 0; y < seen.height; y++) {
    const row = result.subarray(y * crop.width, y * crop.width + seen.width);
    row.set(trainIds.subarray(y * seen.width, (y + 1) * seen.width));
    if (window.mirrored) row.reverse();
  }
  return result;
}
