// Windows of resized images and labels, with OpenCV's arithmetic, computed without the rest of the resized image.

import type { LabelMap, Rect, RgbImage, Size } from './types.js';

/** The size within bounds at the same ratio, rounded as mmcv does: 1914 x 1052 within 1280 x 720 is 1280 x 704. */
export function scaledSize({ width, height }: Size, bounds: Size): Size {
  const longest = Math.max(bounds.width, bounds.height);
  const shortest = Math.min(bounds.width, bounds.height);
  const factor = Math.min(longest / Math.max(width, height), shortest / Math.min(width, height));
  return { width: Math.floor(width * factor + 0.5), height: Math.floor(height * factor + 0.5) };
}

/** Weights are whole multiples of 1 / 2048, as in OpenCV's resize of 8-bit images. */
const WEIGHT_BITS = 11;

/** Where a span of one resized axis comes from: two neighbours a position, and their weights. */
interface LinearSpan {
  low: Int32Array;
  high: Int32Array;
  lowWeight: Int32Array;
  highWeight: Int32Array;
}

/** Half-pixel centres. @param clamped weights at the border are 1 and 0 (columns), else as the formula gives them (rows). */
function linearSpan(from: number, to: number, start: number, count: number, clamped: boolean): LinearSpan {
  const span: LinearSpan = {
    low: new Int32Array(count),
    high: new Int32Array(count),
    lowWeight: new Int32Array(count),
    highWeight: new Int32Array(count),
  };
  const step = 1 / (to / from);
  for (let i = 0; i < count; i++) {
    const at = Math.fround((start + i + 0.5) * step - 0.5);
    const floor = Math.floor(at);
    const outside = floor < 0 || floor >= from - 1;
    const share = clamped && outside ? 0 : Math.fround(at - floor);
    span.low[i] = Math.min(Math.max(floor, 0), from - 1);
    span.high[i] = Math.min(Math.max(floor + 1, 0), from - 1);
    span.lowWeight[i] = roundHalfEven(Math.fround(1 - share) * 2 ** WEIGHT_BITS);
    span.highWeight[i] = roundHalfEven(share * 2 ** WEIGHT_BITS);
  }
  return span;
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** The part of an image of `size` on which `window` of the image resized to `scaled` depends. */
export function sourceRect(size: Size, scaled: Size, window: Rect): Rect {
  const rows = linearSpan(size.height, scaled.height, window.top, window.height, false);
  const columns = linearSpan(size.width, scaled.width, window.left, window.width, true);
  const [top, left] = [rows.low[0]!, columns.low[0]!];
  return {
    top,
    left,
    height: rows.high[window.height - 1]! + 1 - top,
    width: columns.high[window.width - 1]! + 1 - left,
  };
}

/**
 * A window of an image resized bilinearly without antialiasing, bit for bit as OpenCV's INTER_LINEAR resizes it.
 * @param part pixels of `rect`, which covers {@link sourceRect}.
 * @param rect where `part` lies in the image of `size`.
 * @param window lies inside `scaled`.
 * @param mirrored left and right of the window are swapped.
 * @returns (3, window.height, window.width)
 */
export function resizeWindow(
  part: RgbImage,
  rect: Rect,
  size: Size,
  scaled: Size,
  window: Rect,
  mirrored: boolean,
): Uint8Array<ArrayBuffer> {
  if (size.width === scaled.width && size.height === scaled.height) {
    return cutWindow(
      part,
      { ...window, top: window.top - rect.top, left: window.left - rect.left },
      mirrored,
    );
  }
  const { width, height } = window;
  const rows = linearSpan(size.height, scaled.height, window.top, height, false);
  const columns = linearSpan(size.width, scaled.width, window.left, width, true);
  const result = new Uint8Array(3 * width * height);
  let upper = new Int32Array(3 * width);
  let lower = new Int32Array(3 * width);
  let [upperRow, lowerRow] = [-1, -1];
  const fill = (target: Int32Array, y: number) =>
    resizeRow(part.data, 3 * ((y - rect.top) * part.width - rect.left), columns, target);
  for (let y = 0; y < height; y++) {
    const [low, high] = [rows.low[y]!, rows.high[y]!];
    if (low === lowerRow) {
      [upper, lower] = [lower, upper];
      [upperRow, lowerRow] = [lowerRow, upperRow];
    }
    if (low !== upperRow) fill(upper, low);
    if (high !== lowerRow) fill(lower, high);
    [upperRow, lowerRow] = [low, high];
    blendRows(
      upper,
      lower,
      rows.lowWeight[y]!,
      rows.highWeight[y]!,
      result,
      y * width,
      width,
      height,
      mirrored,
    );
  }
  return result;
}

/** One row of RGB pixels, resized, times 2048. @param base where column 0 of the row would begin in `data`. */
function resizeRow(data: Uint8Array, base: number, columns: LinearSpan, target: Int32Array): void {
  const { low, high, lowWeight, highWeight } = columns;
  for (let x = 0, i = 0; x < low.length; x++, i += 3) {
    const a = base + 3 * low[x]!;
    const b = base + 3 * high[x]!;
    const u = lowWeight[x]!;
    const v = highWeight[x]!;
    target[i] = data[a]! * u + data[b]! * v;
    target[i + 1] = data[a + 1]! * u + data[b + 1]! * v;
    target[i + 2] = data[a + 2]! * u + data[b + 2]! * v;
  }
}

/** The weighted sum of two rows, rounded in the order in which OpenCV drops bits. */
function blendRows(
  upper: Int32Array,
  lower: Int32Array,
  u: number,
  v: number,
  result: Uint8Array,
  at: number,
  width: number,
  height: number,
  mirrored: boolean,
): void {
  const plane = width * height;
  const step = mirrored ? -1 : 1;
  let to = mirrored ? at + width - 1 : at;
  for (let i = 0; i < 3 * width; i += 3, to += step) {
    result[to] = blend(upper[i]!, lower[i]!, u, v);
    result[to + plane] = blend(upper[i + 1]!, lower[i + 1]!, u, v);
    result[to + 2 * plane] = blend(upper[i + 2]!, lower[i + 2]!, u, v);
  }
}

function blend(a: number, b: number, u: number, v: number): number {
  return ((Math.imul(u, a >> 4) >> 16) + (Math.imul(v, b >> 4) >> 16) + 2) >> 2;
}

function cutWindow(
  { data, width: stride }: RgbImage,
  { top, left, width, height }: Rect,
  mirrored: boolean,
): Uint8Array<ArrayBuffer> {
  const plane = width * height;
  const result = new Uint8Array(3 * plane);
  const step = mirrored ? -1 : 1;
  const words = LITTLE_ENDIAN && width % 4 === 0 ? new RowOfWords(width, result) : undefined;
  for (let y = 0; y < height; y++) {
    let from = 3 * ((top + y) * stride + left);
    if (words) {
      words.put(data.subarray(from, from + 3 * width), y, plane, mirrored);
      continue;
    }
    let to = y * width + (mirrored ? width - 1 : 0);
    for (let x = 0; x < width; x++, from += 3, to += step) {
      result[to] = data[from]!;
      result[to + plane] = data[from + 1]!;
      result[to + 2 * plane] = data[from + 2]!;
    }
  }
  return result;
}

const LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;

/** Takes rows of RGB apart four pixels at a time: twelve bytes are read as three words, and written as three. */
class RowOfWords {
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #planes: Uint32Array;

  /** @param width a multiple of 4. @param planes (3, height, width) */
  constructor(
    readonly width: number,
    planes: Uint8Array<ArrayBuffer>,
  ) {
    // A row of the image may begin anywhere, words may not.
    this.#bytes = new Uint8Array(3 * width);
    this.#words = new Uint32Array(this.#bytes.buffer);
    this.#planes = new Uint32Array(planes.buffer);
  }

  put(row: Uint8Array, y: number, plane: number, mirrored: boolean): void {
    this.#bytes.set(row);
    const words = this.#words;
    const planes = this.#planes;
    const count = this.width >> 2;
    const apart = plane >> 2;
    const step = mirrored ? -1 : 1;
    let to = y * count + (mirrored ? count - 1 : 0);
    for (let i = 0, end = 3 * count; i < end; i += 3, to += step) {
      // From the lowest byte on: R G B R, G B R G, B R G B.
      const [a, b, c] = [words[i]!, words[i + 1]!, words[i + 2]!];
      const red = (a & 255) | ((a >>> 16) & 0xff00) | (b & 0xff0000) | ((c & 0xff00) << 16);
      const green = ((a >>> 8) & 255) | ((b & 255) << 8) | ((b >>> 8) & 0xff0000) | ((c & 0xff0000) << 8);
      const blue = ((a >>> 16) & 255) | (b & 0xff00) | ((c & 255) << 16) | (c & 0xff000000);
      planes[to] = mirrored ? reversed(red) : red;
      planes[to + apart] = mirrored ? reversed(green) : green;
      planes[to + 2 * apart] = mirrored ? reversed(blue) : blue;
    }
  }
}

/** The bytes of a word in the other order. */
function reversed(word: number): number {
  return (word >>> 24) | ((word >>> 8) & 0xff00) | ((word & 0xff00) << 8) | (word << 24);
}

/** A label as if resized: the trainId at (y, x) is `trainIds[data[rows[y] + columns[x]]]`. */
export interface ScaledLabel {
  data: Uint8Array;
  /** What the values in `data` stand for. */
  trainIds: Uint8Array;
  /** Offsets of the rows' first pixels. */
  rows: Int32Array;
  columns: Int32Array;
}

/** TrainIds that stand for themselves. */
const THEMSELVES = Uint8Array.from({ length: 256 }, (_, i) => i);

/**
 * Nearest neighbour, as OpenCV's INTER_NEAREST picks it: the pixel that holds the upper left corner.
 * @param trainIds of the 256 values that `data` may hold; left out: they are trainIds.
 */
export function scaleLabel(
  { data, width, height }: LabelMap,
  scaled: Size,
  trainIds: Uint8Array = THEMSELVES,
): ScaledLabel {
  const axis = (from: number, to: number, stride: number) => {
    const step = 1 / (to / from);
    return Int32Array.from({ length: to }, (_, i) => Math.min(Math.floor(i * step), from - 1) * stride);
  };
  return {
    data,
    trainIds,
    rows: axis(height, scaled.height, width),
    columns: axis(width, scaled.width, 1),
  };
}
