// Image files as RGB, whole or in part, and their sizes.
import sharp from 'sharp';
import { type DatasetError, fault } from '../errors.js';
import { openRgbPng } from './png.js';
import { RowPng } from './row-png.js';
import type { Rect, RgbImage, Size } from './types.js';

/**
 * Decodes an image file of any format libvips reads, as 8-bit sRGB without alpha.
 * @throws {DatasetError} when the file is missing or cannot be decoded
 */
export async function decodeRgb(file: string): Promise<RgbImage> {
  try {
    const png = await openRgbPng(file);
    if (!png) return await decodeByLibvips(file);
    try {
      const { width, height } = png;
      return { width, height, data: await png.decode({ left: 0, top: 0, width, height }) };
    } finally {
      png.close();
    }
  } catch (error) {
    throw undecodable(file, 'image', error);
  }
}

/** @param region only these pixels, which must lie inside; rows below them are not decoded */
async function decodeByLibvips(file: string, region?: Rect): Promise<RgbImage> {
  const image = sharp(file);
  if (region) image.extract(region);
  const { data, info } = await image
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  return {
    width: info.width,
    height: info.height,
    data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  };
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
 * Opens an image to read part of it: of the copies that `pgpc data cache` makes no other rows are read.
 * @throws {DatasetError} when the file is missing or is no image
 */
export async function openImage(file: string): Promise<OpenImage> {
  const orUndecodable = (error: unknown): never => {
    throw undecodable(file, 'image', error);
  };
  const rows = await RowPng.open(file).catch(orUndecodable);
  if (rows) {
    const { width, height } = rows;
    const decode = (region: Rect) => rows.decode(region).catch(orUndecodable);
    return { width, height, decode, close: () => rows.close() };
  }
  const png = await openRgbPng(file).catch(orUndecodable);
  if (png) {
    const decode = async (region: Rect) => ({
      width: region.width,
      height: region.height,
      data: await png.decode(region).catch(orUndecodable),
    });
    return { width: png.width, height: png.height, decode, close: async () => png.close() };
  }
  const decode = (region: Rect) => decodeByLibvips(file, region).catch(orUndecodable);
  return { ...(await imageSize(file)), decode, close: async () => {} };
}

/**
 * Reads an image's size from its header.
 * @throws {DatasetError} when the file is missing or is no image
 */
export async function imageSize(file: string): Promise<Size> {
  try {
    const { width, height } = await sharp(file).metadata();
    return { width, height };
  } catch (error) {
    throw undecodable(file, 'image', error);
  }
}

/** The error for a file that is missing or no image. @param what it should be, such as 'image' */
export function undecodable(file: string, what: string, error: unknown): DatasetError {
  const text = error instanceof Error ? error.message : String(error);
  const missing =
    (error as NodeJS.ErrnoException).code === 'ENOENT' || text.startsWith('Input file is missing');
  const why = missing ? 'not found' : `not a readable ${what} (${text.trim().split('\n')[0]})`;
  return fault(
    missing ? 'missing' : 'undecodable',
    file,
    `${why}; restore the file from the dataset's archive`,
    error,
  );
}
