// Images of any size for networks that take whole patches: padding, and maps that cover the image alone.

import { arange, dims, sizeOf, type Tensor } from '@pgpc/torch';

/** The image with zeros, which are the mean colour, at its right and bottom, to sides that are multiples of `patch`. */
export function paddedTo(image: Tensor, patch: number): Tensor {
  const [, , height, width] = dims(image, 4);
  const [down, across] = [-height, -width].map((side) => ((side % patch) + patch) % patch);
  return down === 0 && across === 0 ? image : image.constantPadNd([0, across!, 0, down!], 0);
}

/**
 * A map that covers a padded image, resampled bilinearly to cover the image alone. By products with small matrices: of as
 * many outputs as inputs libtorch's own resizing makes a copy, whatever its scale, and 1.13 reads beyond the map's end.
 * @param map (B, D, h, w), its first position at the image's corner. @param cell pixels a side of one of its positions.
 * @param size of the image. @returns (B, D, ceil(height / stride), ceil(width / stride)); `map` where that is all of it.
 */
export function fitted(
  map: Tensor,
  cell: number,
  size: readonly [height: number, width: number],
  stride: number,
): Tensor {
  const [down, across] = sizeOf(map).map((from, axis) => resampling(map, from, cell, size[axis]!, stride));
  const columns = across ? map.matmul(across.t()) : map;
  return down ? down.matmul(columns) : columns;
}

/** (to, from): what each output along one side takes of each input, the border repeated; undefined where nothing changes. */
function resampling(
  { device, dtype }: Tensor,
  from: number,
  cell: number,
  length: number,
  stride: number,
): Tensor | undefined {
  const to = Math.ceil(length / stride);
  if (from === to && from * cell === length) return undefined;
  const options = { dtype: 'float32', device } as const;
  const places = arange(to, options)
    .add(0.5)
    .mul(length / (to * cell))
    .sub(0.5);
  const inside = places.clamp(0, from - 1).unsqueeze(1);
  return inside.sub(arange(from, options)).abs().neg().add(1).clampMin(0).to(dtype);
}
