// Image files as RGB, whole or in part, and their sizes: what their annotator saw.
import { DatasetError } from '../errors.js';
import { openByLibvips, type ReadOptions, sizeByLibvips } from './libvips.js';
import { openRgbPng } from './png.js';
import { RowPng } from './row-png.js';
import type { Rect, RgbImage, Size } from './types.js';
import { undecodable } from './unreadable.js';

/**
 * Decodes a PNG, JPEG, WebP, TIFF, AVIF or GIF, whatever its name says, as 8-bit sRGB without alpha, turned as its EXIF orientation says.
 * Numbers of 16 bits are of the scale 0..65535, floats of 0..1, unless a range is given; of several pages the first counts.
 * @throws {DatasetError} when the file is missing or cannot be decoded, or its numbers are of another scale
 */
export async function decodeRgb(file: string, options: ReadOptions = {}): Promise<RgbImage> {
  try {
    const png = await openRgbPng(file);
    if (!png) return await (await openByLibvips(file, options)).decode();
    try {
      const { width, height } = png;
      return { width, height, data: await png.decode({ left: 0, top: 0, width, height }) };
    } finally {
      png.close();
    }
  } catch (error) {
    throw await explained(file, error);
  }
}

/** An open image file: its size is known, and parts of it can be decoded. */
export interface OpenImage extends Size {
  /**
   * Pixels of a region that lies inside; they are good until the file is closed.
   * @throws {DatasetError} when they cannot be decoded
   */
  decode(region: Rect): Promise<RgbImage>;
  close(): Promise<void>;
}

/**
 * Opens an image to read part of it, as {@link decodeRgb} does: of the copies that `pgpc data cache` makes no other rows
 * are read.
 * @throws {DatasetError} when the file is missing or is no image
 */
export async function openImage(file: string, options: ReadOptions = {}): Promise<OpenImage> {
  const orExplain = async (error: unknown): Promise<never> => {
    throw await explained(file, error);
  };
  const rows = await RowPng.open(file).catch(orExplain);
  if (rows) {
    const { width, height } = rows;
    const decode = (region: Rect) => rows.decode(region).catch(orExplain);
    return { width, height, decode, close: () => rows.close() };
  }
  const png = await openRgbPng(file).catch(orExplain);
  if (png) {
    const decode = async (region: Rect) => ({
      width: region.width,
      height: region.height,
      data: await png.decode(region).catch(orExplain),
    });
    return { width: png.width, height: png.height, decode, close: async () => png.close() };
  }
  const image = await openByLibvips(file, options).catch(orExplain);
  const { width, height } = image;
  return { width, height, decode: (region) => image.decode(region).catch(orExplain), close: async () => {} };
}

/**
 * Reads an image's size from its header, as its EXIF orientation turns it.
 * @throws {DatasetError} when the file is missing or is no image
 */
export async function imageSize(file: string): Promise<Size> {
  try {
    return await sizeByLibvips(file);
  } catch (error) {
    throw await explained(file, error);
  }
}

async function explained(file: string, error: unknown): Promise<DatasetError> {
  return error instanceof DatasetError ? error : undecodable(file, 'image', error);
}
