// The samples of pictures whose numbers mean something, such as label maps: PNG, and what else keeps numbers as they are.
import sharp from 'sharp';
import { DatasetError, fault } from '../errors.js';
import { formatOf } from './file-format.js';
import { MOST_SECONDS, refuseSize } from './libvips.js';
import { type Png, readPng } from './png.js';
import { undecodable } from './unreadable.js';

/** Formats that keep every number. */
const LOSSLESS: readonly string[] = ['tiff', 'gif'];

/**
 * Reads a PNG, or a TIFF or GIF without a palette of its own, as it is stored.
 * @throws {DatasetError} when the file is missing, damaged, compressed in a way that changes numbers, or turned by viewers
 */
export async function readSamples(file: string): Promise<Png> {
  const png = await asStored(file);
  if (png.orientation === 1) return png;
  throw fault(
    'label-format',
    file,
    `its EXIF orientation (${png.orientation}) has viewers turn it, which may not be how it was drawn; save it upright and without EXIF`,
  );
}

async function asStored(file: string): Promise<Png> {
  try {
    return await readPng(file);
  } catch (error) {
    if ((error as Error).message !== NO_PNG) throw await undecodable(file, 'label', error);
  }
  try {
    // A file of another format, whatever its name says.
    return await readOther(file);
  } catch (error) {
    throw error instanceof DatasetError ? error : await undecodable(file, 'label', error);
  }
}

const NO_PNG = 'no PNG signature';

/** @throws Error for what is no picture, or is damaged; DatasetError for one that cannot be a label */
async function readOther(file: string): Promise<Png> {
  await formatOf(file);
  const header = await sharp(file).metadata();
  const { format, space, depth, orientation = 1 } = header;
  if (!LOSSLESS.includes(format)) {
    const kind = format.toUpperCase();
    throw fault(
      'label-format',
      file,
      `a ${kind}, whose compression changes label values; export labels as PNG`,
    );
  }
  if (depth !== 'uchar' && depth !== 'ushort') {
    throw fault('label-format', file, `numbers of the kind '${depth}'; export labels as PNG of 8 bits`);
  }
  await refuseSize(file, header);
  const { data, info } = await sharp(file)
    .timeout({ seconds: MOST_SECONDS })
    .pipelineColourspace(space)
    .toColourspace(space)
    .raw({ depth })
    .toBuffer({ resolveWithObject: true });
  const bytes = data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) as ArrayBuffer;
  return {
    width: info.width,
    height: info.height,
    channels: info.channels,
    depth: depth === 'ushort' ? 16 : 8,
    samples: depth === 'ushort' ? new Uint16Array(bytes) : new Uint8Array(bytes),
    palette: undefined,
    orientation,
  };
}
