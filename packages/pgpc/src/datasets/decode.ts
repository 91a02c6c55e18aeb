// Decoding images to RGB and label files to trainIds.
import { readFile } from 'node:fs/promises';
import { decode } from 'fast-png';
import sharp from 'sharp';
import { IGNORE_INDEX, UNKNOWN_LABEL } from './cityscapes-classes.js';
import { DatasetError, type LabelMap, type RgbImage } from './types.js';

/**
 * Decodes an image file of any format libvips reads, as 8-bit sRGB without alpha.
 * @throws {DatasetError} when the file is missing or cannot be decoded
 */
export async function decodeRgb(file: string): Promise<RgbImage> {
  try {
    const { data, info } = await sharp(file)
      .removeAlpha()
      .toColourspace('srgb')
      .raw()
      .toBuffer({ resolveWithObject: true });
    return {
      width: info.width,
      height: info.height,
      data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    };
  } catch (error) {
    throw undecodable(file, 'image', error);
  }
}

/**
 * Reads an image's size from its header.
 * @throws {DatasetError} when the file is missing or is no image
 */
export async function imageSize(file: string): Promise<{ width: number; height: number }> {
  try {
    const { width, height } = await sharp(file).metadata();
    return { width, height };
  } catch (error) {
    throw undecodable(file, 'image', error);
  }
}

/**
 * Decodes a one-channel PNG, grey or palette, and maps each value through `table`. Of a palette PNG the index
 * counts, not the colour.
 * @param table 256 entries: the trainId (or 255) of each value, or {@link UNKNOWN_LABEL}
 * @throws {DatasetError} when the file is missing, cannot be decoded, has more than one channel or 16 bits, or
 * holds a value that `table` does not know
 */
export async function decodeLabel(file: string, table: Uint8Array): Promise<LabelMap> {
  const { width, height, values } = await decodeIndices(file);
  const data = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) data[i] = table[values[i]!]!;
  if (data.includes(UNKNOWN_LABEL)) throw unknownValues(file, values, table);
  return { width, height, data };
}

async function decodeIndices(file: string): Promise<{ width: number; height: number; values: Uint8Array }> {
  let png: ReturnType<typeof decode>;
  try {
    // Without the checksums a damaged file would decode to wrong labels in silence.
    png = decode(await readFile(file), { checkCrc: true });
  } catch (error) {
    throw undecodable(file, 'PNG label', error);
  }
  const { width, height, channels, depth, data } = png;
  if (channels !== 1 || !(data instanceof Uint8Array)) {
    throw new DatasetError(
      `${file}: a label must be a PNG of one 8-bit channel (grey or palette), this has ${channels} of ${depth} bits; is it a coloured picture of the label?`,
    );
  }
  return { width, height, values: depth === 8 ? data : unpack(data, width, height, depth) };
}

/** Spreads rows of 1-, 2- or 4-bit samples, each row padded to a whole byte, to one byte a sample. */
function unpack(packed: Uint8Array, width: number, height: number, depth: number): Uint8Array {
  const values = new Uint8Array(width * height);
  const stride = Math.ceil((width * depth) / 8);
  const perByte = 8 / depth;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const byte = packed[y * stride + Math.floor(x / perByte)]!;
      values[y * width + x] = (byte >> (8 - depth * ((x % perByte) + 1))) & ((1 << depth) - 1);
    }
  }
  return values;
}

function unknownValues(file: string, values: Uint8Array, table: Uint8Array): DatasetError {
  const counts = new Map<number, number>();
  for (const value of values) {
    if (table[value] === UNKNOWN_LABEL) counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  const listed = [...counts]
    .sort(([a], [b]) => a - b)
    .slice(0, 5)
    .map(([value, count]) => `${value} (${count} ${count === 1 ? 'pixel' : 'pixels'})`);
  const more = counts.size > listed.length ? ` and ${counts.size - listed.length} more` : '';
  return new DatasetError(
    `${file}: label values this dataset does not define: ${listed.join(', ')}${more}; the file must hold label ids, with ${IGNORE_INDEX} for pixels to ignore`,
  );
}

function undecodable(file: string, what: string, error: unknown): DatasetError {
  const text = error instanceof Error ? error.message : String(error);
  const why =
    (error as NodeJS.ErrnoException).code === 'ENOENT' || text.startsWith('Input file is missing')
      ? 'not found'
      : `not a readable ${what} (${text.trim().split('\n')[0]})`;
  return new DatasetError(`${file}: ${why}; restore the file from the dataset's archive`, { cause: error });
}
