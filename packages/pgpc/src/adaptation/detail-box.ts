// Where the student of a network of two resolutions sees details in training (HRDA, arXiv 2204.13132, section 3.2).

import type { Rng } from '../random.js';
import type { Box } from '../windows.js';

/**
 * A detail crop at a random place: offsets are multiples of `step`, and as in HRDA's code the last of them is never drawn
 * (from 0 to 504 of 512 for a crop of 512 in an image of 1024).
 * @param size H and W of the image. @param crop at most as large.
 */
export function drawBox(
  [height, width]: readonly [number, number],
  crop: { readonly width: number; readonly height: number },
  step: number,
  rng: Rng,
): Box {
  const offset = (room: number) => rng.below(Math.max(1, Math.floor((room + 1) / step))) * step;
  const top = offset(height - crop.height);
  return { top, left: offset(width - crop.width), height: crop.height, width: crop.width };
}
