// Maps of class scores, computed a few rows at a time: whole, at an image's size, they take hundreds of MB.

import { dims, fromTypedArray, ops, type Tensor, tidy, zeros } from '@pgpc/torch';

/** A map of (1, channels, height, width), float32, that gives any rows in any order. */
export interface RowMap {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  /** Where its rows are. */
  readonly device: string;
  /** Rows `from` to `to` - 1: (1, channels, to - from, width). May share memory with what it comes from. */
  rows(from: number, to: number): Tensor;
}

/** A tensor (1, C, H, W) as a row map. */
export function tensorRows(map: Tensor): RowMap {
  const [, channels, height, width] = dims(map, 4);
  const { device } = map;
  return { channels, height, width, device, rows: (from, to) => map.narrow(2, from, to - from) };
}

/**
 * `source` resized bilinearly to `size`, with the images' corners, not the corner pixels' centres, on each other
 * (`align_corners` false). Rows equal, to rounding, the rows of `nn.interpolate` of the whole map.
 */
export function resizedRows(source: RowMap, size: { width: number; height: number }): RowMap {
  const { channels, device } = source;
  const { width, height } = size;
  if (width === source.width && height === source.height) return source;
  return {
    channels,
    width,
    height,
    device,
    rows: (from, to) =>
      tidy(() => {
        const tall = height === source.height ? source.rows(from, to) : blendedRows(source, height, from, to);
        return width === source.width ? tall : ops.upsampleBilinear2d(tall, [to - from, width], false);
      }),
  };
}

/** The vertical half of a resize to `height`: each row is a blend of two rows of the source. */
function blendedRows(source: RowMap, height: number, from: number, to: number): Tensor {
  const scale = source.height / height;
  const count = to - from;
  const upper = new Int32Array(count);
  const lower = new Int32Array(count);
  const share = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const at = Math.max(0, (from + i + 0.5) * scale - 0.5);
    upper[i] = Math.min(Math.floor(at), source.height - 1);
    lower[i] = Math.min(upper[i]! + 1, source.height - 1);
    share[i] = at - Math.floor(at);
  }
  const first = upper[0]!;
  const rows = source.rows(first, lower.at(-1)! + 1);
  const placed = (array: Int32Array | Float32Array, shape: readonly number[]) =>
    fromTypedArray(array, shape).to({ device: source.device, nonBlocking: true });
  const pick = (index: Int32Array) => rows.indexSelect(2, placed(index, [count]).sub(first));
  return pick(upper).lerp_(pick(lower), placed(share, [1, 1, count, 1]));
}

/** `source` mirrored from left to right. */
export function mirroredRows(source: RowMap): RowMap {
  return { ...source, rows: (from, to) => tidy(() => source.rows(from, to).flip([3])) };
}

/** A part of a larger map. */
export interface Tile {
  readonly top: number;
  readonly left: number;
  readonly map: RowMap;
}

/** The mean of overlapping tiles at every pixel of a map of `size`, which they must cover. */
export function averagedTiles(tiles: readonly Tile[], size: { width: number; height: number }): RowMap {
  const { width, height } = size;
  const { channels, device } = tiles[0]!.map;
  return {
    channels,
    width,
    height,
    device,
    rows: (from, to) =>
      tidy(() => {
        const sum = zeros([1, channels, to - from, width], { device });
        const count = zeros([1, 1, to - from, width], { device });
        for (const { top, left, map } of tiles) {
          const first = Math.max(from, top);
          const last = Math.min(to, top + map.height);
          if (first >= last) continue;
          const within = (whole: Tensor) =>
            whole.narrow(2, first - from, last - first).narrow(3, left, map.width);
          within(sum).add_(map.rows(first - top, last - top));
          within(count).add_(1);
        }
        return sum.div_(count);
      }),
  };
}

/** Values of a strip: with the temporaries of a resize and an arg-max they stay in a core's cache. */
const STRIP_VALUES = 2 ** 19;

/** The same on a GPU: enough that a strip's kernels take longer than their launch, and no more than 256 MB. */
const STRIP_VALUES_ON_DEVICE = 2 ** 26;

/** The most likely class of every pixel of an image; the caller owns the tensors. */
export interface Classified {
  /** (H, W), uint8, on the device of the maps. */
  labels: Tensor;
  /** The probability of that class: (H, W), float32, 0 .. 1; undefined where it was not asked for. */
  confidence: Tensor | undefined;
}

/**
 * The channel with the largest value at every pixel, and its softmax over the channels. Of several maps of one size, the
 * channel with the largest sum of softmaxes, and their mean (mmsegmentation's mean over flips and scales).
 */
export function classifyRows(maps: readonly RowMap[], withConfidence = false): Classified {
  const { channels, width, height, device } = maps[0]!;
  return tidy(() => {
    const labels = zeros([height, width], { dtype: 'uint8', device });
    const confidence = withConfidence ? zeros([height, width], { device }) : undefined;
    const values = device === 'cpu' ? STRIP_VALUES : STRIP_VALUES_ON_DEVICE;
    const step = Math.max(1, Math.floor(values / (channels * width)));
    for (let from = 0; from < height; from += step) {
      const count = Math.min(height, from + step) - from;
      tidy(() => {
        const scores =
          maps.length === 1
            ? maps[0]!.rows(from, from + count)
            : maps
                .map((map) => map.rows(from, from + count).softmax(1))
                .reduce((sum, next) => sum.add_(next));
        // The maximum with its index is vectorised across pixels, `argmax` is not.
        const [most, index] = ops.call('max.dim', scores, 1) as [Tensor, Tensor];
        labels.narrow(0, from, count).copy_(index.squeeze(0));
        confidence
          ?.narrow(0, from, count)
          .copy_(
            (maps.length === 1
              ? most.sub(ops.call('logsumexp', scores, [1], false) as Tensor).exp()
              : most.div(maps.length)
            ).squeeze(0),
          );
      });
    }
    return { labels, confidence };
  });
}
