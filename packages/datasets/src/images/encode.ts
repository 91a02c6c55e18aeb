// Images as PNG files.
import sharp from 'sharp';
import { SIGNATURE } from './png.js';
import { crc32 } from './png-codec.js';
import type { LabelMap, RgbImage } from './types.js';

// 16 bits a channel of any number; libvips does not write them.
export { encode as encodePng, type ImageData as PngImage } from 'fast-png';

/** An RGB image as a PNG file without row filters. @param level of compression: 0 (none) to 9 (smallest, slowest) */
export function encodeRgb({ width, height, data }: RgbImage, level: number): Promise<Uint8Array> {
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png({ compressionLevel: level, adaptiveFiltering: false })
    .toBuffer();
}

/** One byte a pixel as a grey PNG file, whose bytes a reader gets back as they are. @param level as of {@link encodeRgb} */
export function encodeGrey({ width, height, data }: LabelMap, level: number): Promise<Uint8Array> {
  return sharp(data, { raw: { width, height, channels: 1 } })
    .toColourspace('b-w')
    .png({ compressionLevel: level, adaptiveFiltering: false })
    .toBuffer();
}

/** Behind the signature and the header: length, type, 13 bytes, checksum. */
const BEHIND_HEADER = 8 + 25;

/**
 * Indices as a palette PNG file: a viewer shows their colours, a program reads the indices. libvips would number the colours
 * anew. But a palette PNG differs from a grey one in its header and its palette alone (ISO/IEC 15948, 11.2).
 * @param palette RGB, 0 .. 255 each, of every index; at most 256. @param level as of {@link encodeRgb}
 */
export async function encodeIndexed(
  map: LabelMap,
  palette: readonly (readonly [number, number, number])[],
  level: number,
): Promise<Uint8Array> {
  const grey = Buffer.from(await encodeGrey(map, level));
  const header = Buffer.from(grey.subarray(SIGNATURE.length + 8, BEHIND_HEADER - 4));
  const COLOR_TYPE = 9;
  header[COLOR_TYPE] = 3;
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('PLTE', Buffer.from(palette.flat())),
    grey.subarray(BEHIND_HEADER),
  ]);
}

function chunk(type: string, content: Uint8Array): Uint8Array {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), content]);
  const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(content.length);
  checksum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, checksum]);
}
