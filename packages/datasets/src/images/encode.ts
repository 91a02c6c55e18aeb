// Images as PNG files.
import sharp from 'sharp';
import type { RgbImage } from './types.js';

// Labels need palettes whose indices stay as they are, and 16 bits a channel of any number; libvips writes neither.
export { encode as encodePng, type ImageData as PngImage } from 'fast-png';

/** An RGB image as a PNG file without row filters. @param level of compression: 0 (none) to 9 (smallest, slowest) */
export function encodeRgb({ width, height, data }: RgbImage, level: number): Promise<Uint8Array> {
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png({ compressionLevel: level, adaptiveFiltering: false })
    .toBuffer();
}
