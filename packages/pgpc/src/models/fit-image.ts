// Images of any size for encoders that take whole patches: padding, and maps that cover the image alone.

import { dims, sizeOf, type Tensor } from '@pgpc/torch';

/** The image with zeros, which are the mean colour, at its right and bottom, to sides that are multiples of `patch`. */
export function paddedTo(image: Tensor, patch: number): Tensor {
  const [, , height, width] = dims(image, 4);
  const [down, across] = [-height, -width].map((side) => ((side % patch) + patch) % patch);
  return down === 0 && across === 0 ? image : image.constantPadNd([0, across!, 0, down!], 0);
}

/**
 * A map that covers a padded image, resampled bilinearly to cover the image alone.
 * @param map (B, D, h, w), its first position at the image's corner. @param cell pixels a side of one of its positions.
 * @param size of the image. @returns (B, D, ceil(height / stride), ceil(width / stride)); `map` where that is all of it.
 */
export function fitted(
  map: Tensor,
  cell: number,
  [height, width]: readonly [height: number, width: number],
  stride: number,
): Tensor {
  const [h, w] = sizeOf(map);
  const [down, across] = [Math.ceil(height / stride), Math.ceil(width / stride)];
  if (h * cell === height && w * cell === width && h === down && w === across) return map;
  // Outputs for each input: the sizes alone would say that the map covers the image. Along an axis of as many outputs as
  // inputs libtorch makes a copy, whatever the scale: one more is computed and left out.
  const more = [h === down ? 1 : 0, w === across ? 1 : 0] as const;
  const scales = [(down * cell) / height, (across * cell) / width] as const;
  const resized = map.upsampleBilinear2d([down + more[0], across + more[1]], false, ...scales);
  const rows = more[0] === 0 ? resized : resized.narrow(2, 0, down);
  return more[1] === 0 ? rows : rows.narrow(3, 0, across);
}
