// Images of the formats that are read, by libvips, as their annotator saw them: turned as EXIF says, in 8-bit sRGB.
import { stat } from 'node:fs/promises';
import sharp, { type Metadata, type Sharp } from 'sharp';
import { fault } from '../errors.js';
import { formatOf } from './file-format.js';
import { refuseFalseClaim } from './png-codec.js';
import { isMostlyOutside, toBytes, type ValueRange, type WideSamples } from './range.js';
import type { Rect, RgbImage, Size } from './types.js';

// What libvips keeps of a file it finds by the file's name alone, also when another file has that name by now.
sharp.cache(false);

/** How an image is read. */
export interface ReadOptions {
  /** Of images of more than 8 bits or of floats: the stored numbers that are black and white; see `toBytes`. */
  readonly range?: ValueRange | undefined;
  /** Receives remarks without the file's name: a turn, a flaw that does not hurt, pages that are not read. */
  readonly onRemark?: ((remark: string) => void) | undefined;
}

/** An image whose header is read. */
export interface LibvipsImage extends Size {
  /** @param region only these pixels, which must lie inside. @throws Error, DatasetError when they cannot be decoded */
  decode(region?: Rect): Promise<RgbImage>;
}

/**
 * Reads the header of an image.
 * @throws Error if there is no such file or it is no image; DatasetError for one of more than four channels
 */
export async function openByLibvips(file: string, options: ReadOptions = {}): Promise<LibvipsImage> {
  const header = await headerOf(file);
  const { channels, space, depth, orientation, pages = 1 } = header;
  if (space !== 'cmyk' && channels > 4) {
    throw fault(
      'undecodable',
      file,
      `an image of ${channels} channels, and none is known to be red, green or blue; save these three alone`,
    );
  }
  await refuseSize(file, header);
  if (pages > 1) options.onRemark?.(`${pages} pages, the first is read`);
  if ((orientation ?? 1) > 1) options.onRemark?.(TURNED);
  const size = shownSize(header);
  const isPlain = depth === 'uchar' || !WITH_SCALE.has(space);
  return { ...size, decode: isPlain ? plain(file, header, options) : wide(file, header, size, options) };
}

/** The size in which viewers show an image. @throws Error if there is no such file or it is no image */
export async function sizeByLibvips(file: string): Promise<Size> {
  return shownSize(await headerOf(file));
}

/** @throws Error unless the file's content, whatever its name says, is of a format that is read. */
async function headerOf(file: string): Promise<Metadata> {
  await formatOf(file);
  return sharp(file, LENIENT).metadata();
}

/** Bytes of decoded pixels; libvips and sharp each hold some copies. */
const MOST_BYTES = 2 ** 31;
/** Seconds of decoding, many times what the largest image takes. */
export const MOST_SECONDS = 60;

/** @throws Error for a size that the file cannot hold, or that memory is not taken for. */
export async function refuseSize(
  file: string,
  { width, height, channels, depth, format }: Metadata,
): Promise<void> {
  const samples = width * height * channels;
  const bytes = samples * (depth === 'uchar' ? 1 : depth === 'ushort' ? 2 : 8);
  if (bytes > MOST_BYTES) throw new Error(`its header's ${width}x${height} needs ${bytes} bytes of memory`);
  const { size } = await stat(file);
  // A sample of a PNG has a bit at least.
  if (format === 'png') return refuseFalseClaim(size, samples / 8);
  const most = format === 'jpeg' ? size * JPEG_PIXELS : Math.max(FEW_PIXELS, size * OTHER_PIXELS);
  if (width * height > most) {
    throw new Error(`its header's ${width}x${height} are more pixels than a picture has in ${size} bytes`);
  }
}

/** Each 8x8 pixels have a bit at least. */
const JPEG_PIXELS = 8 * 64;
/** Of the others a byte may hold any number of pixels of one colour: pictures of cameras have not a tenth of this. */
const OTHER_PIXELS = 1024;
const FEW_PIXELS = 2 ** 22;

const TURNED = 'turned, as the EXIF orientation says; labels must be drawn on what viewers show';

/** Of an image of more than 8 bits whose range is given. */
export const READ_BY_RANGE = 'read by the range that is given';
const OUTSIDE = '; more than half of the pixels lie outside of it, black or white';

/** Pixels that are damaged or missing are errors, flaws that leave them as they are are not. */
const LENIENT = { failOn: 'error' } as const;
const STRICT = { failOn: 'warning' } as const;
/** What libjpeg calls warnings although pixels are damaged or missing. */
const DAMAGED = /premature end|bad Huffman code|resync/i;

/** Spaces in which numbers are brightness; libvips converts the others to 8 bits by their own rules. */
const WITH_SCALE: ReadonlySet<string> = new Set([
  'b-w',
  'srgb',
  'rgb',
  'grey16',
  'rgb16',
  'scrgb',
  'multiband',
]);

function shownSize({ autoOrient: { width, height } }: Metadata): Size {
  return { width, height };
}

function plain(file: string, header: Metadata, { onRemark }: ReadOptions) {
  const pixels = async (failOn: typeof LENIENT | typeof STRICT, region: Rect | undefined) => {
    const { data, info } = await upright(file, failOn, header, region)
      .removeAlpha()
      .toColourspace('srgb')
      .raw()
      .toBuffer({ resolveWithObject: true });
    const { width, height } = info;
    return { width, height, data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
  };
  return async (region?: Rect): Promise<RgbImage> => {
    try {
      return await pixels(STRICT, region);
    } catch (error) {
      const [flaw] = (error as Error).message.trim().split('\n');
      if (DAMAGED.test(flaw!)) throw error;
      const image = await pixels(LENIENT, region);
      onRemark?.(`a flaw that viewers pass over (${flaw}); it is read as they do`);
      return image;
    }
  };
}

function upright(
  file: string,
  failOn: typeof LENIENT | typeof STRICT,
  header: Metadata,
  region?: Rect,
): Sharp {
  const image = sharp(file, failOn).timeout({ seconds: MOST_SECONDS });
  if ((header.orientation ?? 1) > 1) image.autoOrient();
  return region ? image.extract(region) : image;
}

/** The scale of a file is told from all its pixels, so a part is decoded alone only where the range is given. */
function wide(file: string, header: Metadata, size: Size, { range, onRemark }: ReadOptions) {
  const asStored = async (region?: Rect): Promise<RgbImage> => {
    const { space } = header;
    const depth = String(header.depth);
    const image = upright(file, LENIENT, header, region).removeAlpha();
    // Sharp makes every 16-bit image one without sign.
    const offset = depth === 'short' ? 32_768 : 0;
    if (offset > 0) image.linear(1, offset);
    const { data, info } = await image
      .pipelineColourspace(space)
      .toColourspace(space)
      .raw({ depth: depth === 'ushort' ? 'ushort' : 'double' })
      .toBuffer({ resolveWithObject: true });
    const bytes = data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) as ArrayBuffer;
    const samples: WideSamples =
      depth === 'ushort' ? new Uint16Array(bytes) : new Float64Array(bytes).map((value) => value - offset);
    if (range) onRemark?.(`${READ_BY_RANGE}${isMostlyOutside(samples, range) ? OUTSIDE : ''}`);
    const { width, height, channels } = info;
    return { width, height, data: rgbOf(inRange(file, samples, depth, range), channels) };
  };
  let whole: RgbImage | undefined;
  return async (region?: Rect): Promise<RgbImage> => {
    if (range && region) return asStored(region);
    whole ??= await asStored();
    return region ? cut(whole, region) : { ...size, data: whole.data };
  };
}

function inRange(
  file: string,
  samples: WideSamples,
  depth: string,
  range: ValueRange | undefined,
): Uint8Array {
  try {
    return toBytes(samples, depth, range);
  } catch (error) {
    throw fault('value-range', file, (error as Error).message, error);
  }
}

/** Grey is spread to three channels; what is beyond them is left out. */
function rgbOf(bytes: Uint8Array, channels: number): Uint8Array {
  if (channels === 3) return bytes;
  const pixels = bytes.length / channels;
  const data = new Uint8Array(3 * pixels);
  const step = channels > 3 ? 1 : 0;
  for (let i = 0; i < pixels; i++) {
    for (let c = 0; c < 3; c++) data[3 * i + c] = bytes[i * channels + c * step]!;
  }
  return data;
}

function cut({ width: stride, data }: RgbImage, { left, top, width, height }: Rect): RgbImage {
  const part = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++) {
    const from = 3 * ((top + y) * stride + left);
    part.set(data.subarray(from, from + 3 * width), 3 * y * width);
  }
  return { width, height, data: part };
}
