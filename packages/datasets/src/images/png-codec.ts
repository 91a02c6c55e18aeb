// The two costly parts of PNG files (ISO/IEC 15948), natively (native/png.cpp) and in JavaScript: pixels and checksums.

import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { loadAddon } from '@pgpc/addon';

/** How a PNG that is not interlaced holds its pixels, once inflated: rows, with the number of their filter before each. */
export interface PngLayout {
  /** Bytes of a row, without its filter's. */
  stride: number;
  /** Rows. */
  height: number;
  /** Bytes from a sample to that of the pixel on its left, at least 1: 1, 2, 3, 4, 6 or 8. */
  bytesPerPixel: number;
}

/** Part of the rows. */
export interface PngRegion {
  /** First row. */
  top: number;
  /** Rows. */
  rows: number;
  /** First byte of each row. */
  left: number;
  /** Bytes of each row. */
  length: number;
}

/** Deflate gives at most so many bytes for one. */
const MOST_DEFLATED = 1032;

/**
 * Refuses a size that a file claims and cannot hold, before memory is taken for it.
 * @throws Error if so many packed bytes cannot inflate to `expected`
 */
export function refuseFalseClaim(packed: number, expected: number): void {
  if (expected > packed * MOST_DEFLATED) {
    throw new Error(
      `the header's size needs ${expected} bytes of pixels, which ${packed} packed ones cannot hold`,
    );
  }
}

const inflate = promisify(zlib.inflate);
const INFLATE_CHUNK = 2 ** 24;

const native = loadAddon(fileURLToPath(new URL('../..', import.meta.url)), 'png') as
  | {
      unpackRows(
        data: Uint8Array,
        stride: number,
        height: number,
        bytesPerPixel: number,
        top: number,
        rows: number,
        left: number,
        length: number,
      ): Promise<ArrayBuffer>;
      crc32(bytes: Uint8Array): number;
    }
  | undefined;

/**
 * Inflates a PNG's pixels and undoes the row filters, in a thread of libuv. Undefined where the set-up found no
 * libdeflate.
 * @param data all that the IDAT chunks hold, which must not be changed until the promise settles.
 * @param region inside the image.
 * @returns the region's bytes, row by row.
 * @throws RangeError for a region or layout that cannot be; Error for damaged data, or data of another size.
 */
export const unpackRows:
  | ((data: Uint8Array, layout: PngLayout, region: PngRegion) => Promise<Uint8Array<ArrayBuffer>>)
  | undefined =
  native &&
  (async (data, layout, { top, rows, left, length }) => {
    refuseFalseClaim(data.length, filteredSize(layout));
    const { stride, height, bytesPerPixel } = layout;
    return new Uint8Array(
      await native.unpackRows(data, stride, height, bytesPerPixel, top, rows, left, length),
    );
  });

/** As `unpackRows`, where that is missing. */
export async function unpackRowsSlowly(
  data: Uint8Array,
  layout: PngLayout,
  { top, rows, left, length }: PngRegion,
): Promise<Uint8Array> {
  const { stride, height, bytesPerPixel } = layout;
  const all = unfilter(await inflated(data, filteredSize(layout)), stride, height, bytesPerPixel);
  const region = new Uint8Array(rows * length);
  for (let y = 0; y < rows; y++) {
    const from = (top + y) * stride + left;
    region.set(all.subarray(from, from + length), y * length);
  }
  return region;
}

/** Bytes of all rows with their filters. */
export const filteredSize = ({ stride, height }: PngLayout) => (stride + 1) * height;

/** @throws Error unless the data inflates to exactly `expected` bytes */
export async function inflated(data: Uint8Array, expected: number): Promise<Uint8Array> {
  refuseFalseClaim(data.length, expected);
  const bytes = await inflate(data, {
    chunkSize: Math.max(64, Math.min(expected + 1, INFLATE_CHUNK)),
    maxOutputLength: expected + 1,
  });
  if (bytes.length !== expected) {
    throw new Error(`${bytes.length} bytes of pixels where the header's size needs ${expected}`);
  }
  return bytes;
}

/** Undoes the row filters; `bpp` is the distance in bytes to the sample on the left (ISO/IEC 15948, 9.2). */
export function unfilter(filtered: Uint8Array, stride: number, height: number, bpp: number): Uint8Array {
  const rows = new Uint8Array(stride * height);
  let above = new Uint8Array(stride);
  for (let y = 0; y < height; y++) {
    const from = y * (stride + 1);
    const line = filtered.subarray(from + 1, from + 1 + stride);
    const row = rows.subarray(y * stride, (y + 1) * stride);
    switch (filtered[from]) {
      case 0:
        row.set(line);
        break;
      case 1:
        for (let i = 0; i < stride; i++) row[i] = line[i]! + (i < bpp ? 0 : row[i - bpp]!);
        break;
      case 2:
        for (let i = 0; i < stride; i++) row[i] = line[i]! + above[i]!;
        break;
      case 3:
        for (let i = 0; i < stride; i++) {
          row[i] = line[i]! + (((i < bpp ? 0 : row[i - bpp]!) + above[i]!) >> 1);
        }
        break;
      case 4:
        for (let i = 0; i < bpp && i < stride; i++) row[i] = line[i]! + above[i]!;
        for (let i = bpp; i < stride; i++) {
          row[i] = line[i]! + paeth(row[i - bpp]!, above[i]!, above[i - bpp]!);
        }
        break;
      default:
        throw new Error(`row ${y} has the unknown filter ${filtered[from]}`);
    }
    above = row;
  }
  return rows;
}

/** Of left, above and above left, the one nearest to left + above - above left (ISO/IEC 15948, 9.4). */
function paeth(left: number, above: number, corner: number): number {
  const toLeft = Math.abs(above - corner);
  const toAbove = Math.abs(left - corner);
  const toCorner = Math.abs(left + above - 2 * corner);
  if (toLeft <= toAbove && toLeft <= toCorner) return left;
  return toAbove <= toCorner ? above : corner;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

/** {@link crc32} in JavaScript. */
export function slowCrc32(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (const byte of bytes) c = CRC_TABLE[(c ^ byte) & 255]! ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

/** CRC-32 (ISO/IEC 15948, D). The native one is twice as fast as Node's own, which is there from 20.15 on, and that fifty times as this. */
export const crc32: (bytes: Uint8Array) => number = native?.crc32 ?? zlib.crc32 ?? slowCrc32;
