// Maps of pixels as rows and labels at another resolution, and what is computed of a pixel's probabilities.

import { IGNORE_INDEX } from '@pgpc/datasets';
import { arange, dims, ops, type Tensor, tidy } from '@pgpc/torch';

/** Features at the decoder's resolution as a list of pixels: (B, D, h, w) to (P, D), P = B h w. */
export function pixelRows(map: Tensor): Tensor {
  return map.permute([0, 2, 3, 1]).reshape([-1, map.shape[1]!]);
}

/** The inverse of {@link pixelRows}: (P, D) to a map of the height and width of `like`, (B, D, h, w). */
export function pixelMap(rows: Tensor, like: Tensor): Tensor {
  const [n, , height, width] = dims(like, 4);
  return rows.view([n, height, width, rows.shape[1]!]).permute([0, 3, 1, 2]);
}

/** A map or mask at the decoder's resolution, by nearest neighbour: (B, H, W) to (B, h, w), float32. */
export function nearest(map: Tensor, size: readonly [number, number]): Tensor {
  return ops.upsampleNearest2d(map.unsqueeze(1).to('float32'), size).squeeze(1);
}

/**
 * The labels of features: the class of at least `minShare` of the pixels under each, 255 where there is none.
 * @param label (B, H, W), int64 in 0 .. C - 1 or 255. @param size h and w of the features. @returns (P), int64.
 */
export function pureLabels(
  label: Tensor,
  size: readonly [number, number],
  classes: number,
  minShare: number,
): Tensor {
  return tidy(() => {
    const isClass = label.unsqueeze(1).eq(arange(classes, { device: label.device }).view([1, -1, 1, 1]));
    const [share, most] = ops.adaptiveAvgPool2d(isClass.to('float32'), size).max(1) as [Tensor, Tensor];
    // Where no pixel has a class, a least share of 0 must not make it class 0.
    return most.maskedFill(share.lt(minShare).logicalOr(share.eq(0)), IGNORE_INDEX).flatten();
  });
}

/** Rows of an image that give no pseudo-labels. */
interface Margins {
  ignoreTop: number;
  ignoreBottom: number;
}

/**
 * Which rows of a map lie wholly between the margins of the image that it is of: from `first` to before `end`; none where
 * `end` is no larger.
 * @param rows h of the map. @param height H of the image, in which the margins are counted.
 */
export function rowsBetweenMargins(rows: number, height: number, { ignoreTop, ignoreBottom }: Margins) {
  return {
    first: Math.ceil((ignoreTop * rows) / height),
    end: Math.floor(((height - ignoreBottom) * rows) / height),
  };
}

/**
 * The rows of a map that lie wholly between the margins of the image that it is of.
 * @param map (.., h, w). @param height H of the image, in which the margins are counted.
 * @throws RangeError if there are none.
 */
export function betweenMargins(map: Tensor, height: number, margins: Margins): Tensor {
  const { ignoreTop, ignoreBottom } = margins;
  if (ignoreTop === 0 && ignoreBottom === 0) return map;
  const { first, end } = rowsBetweenMargins(map.shape.at(-2)!, height, margins);
  if (first >= end) {
    throw new RangeError(
      `margins of ${ignoreTop} and ${ignoreBottom} rows (ignoreTop, ignoreBottom) leave nothing of a crop of ${height}`,
    );
  }
  return map.narrow(map.ndim - 2, first, end - first);
}

/** A label map or mask as a list of pixels at the decoder's resolution: (B, H, W) to (P). */
export function pixelLabels(label: Tensor, size: readonly [number, number]): Tensor {
  return nearest(label, size).flatten().to(label.dtype);
}

/**
 * Halves and bfloat16s as float32, for arithmetic that their 8 to 11 significant bits are too few for: distances, unit
 * lengths, sums over a batch. Wider values are given back as they are. Gradients flow back in the input's own dtype.
 */
export function singlePrecision(x: Tensor): Tensor {
  return x.dtype === 'bfloat16' || x.dtype === 'float16' ? x.to('float32') : x;
}

/** H = -sum_c p_c log p_c per pixel (eq 8), in nats. @param probabilities (P, C). @returns (P). */
export function entropy(probabilities: Tensor): Tensor {
  return ops.xlogy(probabilities, probabilities).sum([1]).neg();
}
