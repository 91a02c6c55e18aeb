// Margins of the camera's image, carried through resize, crop and flip: HRDA's `crop_pseudo_margins`.

import type { Size } from '@pgpc/datasets';
import { type Tensor, tidy, zeros } from '@pgpc/torch';
import type { ImageMargins } from '../config/self-training.js';
import type { Crop } from './sample.js';

/**
 * Which pixels of crops lie between the margins of their image.
 * @param crop size of the crops; what lies outside an image is in its margins.
 * @returns (B, H, W), float32, 0 or 1.
 */
export function betweenImageMargins(
  crops: readonly Pick<Crop, 'place' | 'width' | 'height'>[],
  margins: ImageMargins,
  crop: { readonly width: number; readonly height: number },
): Tensor {
  return tidy(() => {
    const valid = zeros([crops.length, crop.height, crop.width]);
    for (const [i, { place, width, height }] of crops.entries()) {
      const rows = overlap(place.top, height, place.of.height, margins.top, margins.bottom);
      const columns = overlap(place.left, width, place.of.width, margins.left, margins.right);
      const left = place.mirrored ? width - columns.first - columns.length : columns.first;
      valid.select(0, i).narrow(0, rows.first, rows.length).narrow(1, left, columns.length).fill_(1);
    }
    return valid;
  });
}

/** Which pixels of a whole image lie between its margins, as {@link betweenImageMargins} says it of crops: (1, H, W). */
export function wholeBetweenMargins({ width, height }: Size, margins: ImageMargins): Tensor {
  const place = { top: 0, left: 0, mirrored: false, of: { width, height } };
  return betweenImageMargins([{ place, width, height }], margins, { width, height });
}

/** The part of a crop's side that lies between the margins of the image's. @param start of the crop in the image. */
function overlap(start: number, seen: number, length: number, before: number, after: number) {
  const first = Math.max(Math.round(before * length), start);
  const end = Math.min(length - Math.round(after * length), start + seen);
  return { first: Math.min(first - start, seen), length: Math.max(0, end - first) };
}
