// The native decoder of PNG files' pixels (native/png.cpp).

import { fileURLToPath } from 'node:url';
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
  (async (data, { stride, height, bytesPerPixel }, { top, rows, left, length }) =>
    new Uint8Array(await native.unpackRows(data, stride, height, bytesPerPixel, top, rows, left, length)));

/** CRC-32 as PNG files have it (ISO/IEC 15948, D). Undefined where the set-up found no libdeflate. */
export const crc32: ((bytes: Uint8Array) => number) | undefined = native?.crc32;
