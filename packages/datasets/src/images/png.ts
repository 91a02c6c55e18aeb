// PNG files (ISO/IEC 15948) sample by sample: palette indices and 16-bit values as stored, no colour management.
import { open, readFile } from 'node:fs/promises';
import { orientationOf } from './exif.js';
import { borrow, giveBack } from './memory.js';
import {
  crc32,
  filteredSize,
  inflated,
  type PngLayout,
  unfilter,
  unpackRows,
  unpackRowsSlowly,
} from './png-codec.js';
import type { Rect } from './types.js';

/** The samples of a PNG (ISO/IEC 15948), interleaved rows, unscaled: 0 .. 2^depth - 1. */
export interface Png {
  readonly width: number;
  readonly height: number;
  /** 1 (grey or palette index), 2 (grey, alpha), 3 (RGB) or 4 (RGBA). */
  readonly channels: number;
  /** Bits a sample as stored: 1, 2, 4, 8 or 16. Samples of less than 8 bits are spread to a byte each. */
  readonly depth: number;
  readonly samples: Samples;
  /** Of a palette PNG: red, green and blue of every entry. */
  readonly palette: Uint8Array | undefined;
  /** How viewers turn it, 1 (not at all) to 8, as EXIF numbers it. */
  readonly orientation: number;
}

export const SIGNATURE = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);
const MAX_PIXELS = 2 ** 28;
/** Of samples and of files: 8-bit RGB of the most pixels. */
const MAX_BYTES = 3 * MAX_PIXELS;

const GREY = 0;
const RGB = 2;
const PALETTE = 3;
const CHANNELS: Readonly<Record<number, number>> = { [GREY]: 1, [RGB]: 3, [PALETTE]: 1, 4: 2, 6: 4 };
const DEPTHS: Readonly<Record<number, readonly number[]>> = {
  [GREY]: [1, 2, 4, 8, 16],
  [RGB]: [8, 16],
  [PALETTE]: [1, 2, 4, 8],
  4: [8, 16],
  6: [8, 16],
};

/**
 * Reads a PNG file and checks its checksums: without them a damaged label would decode to wrong values in silence.
 * @throws Error saying what is wrong, when the file is missing or is no whole PNG
 */
export async function readPng(file: string): Promise<Png> {
  const bytes = await readFile(file);
  const { header, palette, data, orientation } = parseChunks(bytes);
  const { width, height, depth, colorType, interlaced } = header;
  const channels = CHANNELS[colorType]!;
  checkSize(header, (channels * depth) / 8);
  const decode = interlaced ? interlacedSamples : plainSamples;
  const samples = await decode(data, header, channels);
  return { width, height, channels, depth, palette, orientation, samples };
}

function checkSize({ width, height }: Header, bytesPerPixel: number): void {
  const pixels = width * height;
  if (pixels === 0 || pixels > MAX_PIXELS || pixels * bytesPerPixel > MAX_BYTES) {
    throw new Error(`the header's size of ${width}x${height} is out of range`);
  }
}

/** A PNG file in memory; any region of it can be decoded. */
export interface RgbPng {
  readonly width: number;
  readonly height: number;
  /** Interleaved rows of a region that lies inside. @throws Error if the pixels are damaged */
  decode(region: Rect): Promise<Uint8Array>;
  /** Nothing may be decoded from then on. */
  close(): void;
}

/**
 * Opens a file if it is a PNG of 8-bit RGB that stands for sRGB (no colour profile) and is neither interlaced nor turned by
 * EXIF, as most images of datasets are, and if the fast decoder is there.
 * @returns undefined if it is not. @throws Error if there is no such file, or it is damaged
 */
export async function openRgbPng(file: string): Promise<RgbPng | undefined> {
  if (!unpackRows) return undefined;
  const bytes = await readIfRgb(file);
  if (!bytes) return undefined;
  const close = () => giveBack(bytes.memory);
  try {
    const { header, data, profile, orientation } = parseChunks(bytes.file);
    if (!profile && orientation === 1) {
      checkSize(header, 3);
      const { width, height } = header;
      const layout = layoutOf(header, 3, 8);
      const decode = ({ left, top, width, height }: Rect) =>
        unpackRows!(data, layout, { top, rows: height, left: 3 * left, length: 3 * width });
      return { width, height, decode, close };
    }
  } catch (error) {
    close();
    throw error;
  }
  close();
  return undefined;
}

/** A whole file, in memory that is to be given back, if its head is that of such a PNG; of others no more is read. */
async function readIfRgb(file: string): Promise<{ file: Buffer; memory: Buffer } | undefined> {
  const handle = await open(file);
  try {
    const head = Buffer.alloc(29);
    await handle.read(head, 0, head.length, 0);
    if (!head.subarray(0, 8).equals(SIGNATURE)) return undefined;
    const [depth, colorType, , , interlacing] = head.subarray(24);
    if (colorType !== RGB || depth !== 8 || interlacing !== 0) return undefined;
    const { size } = await handle.stat();
    // Pixels that deflate makes no smaller, and what stands between them.
    if (size > 2 * MAX_BYTES)
      throw new Error(`a file of ${size} bytes is no image of at most ${MAX_PIXELS} pixels`);
    const memory = borrow(size);
    const { bytesRead } = await handle.read(memory, 0, size, 0);
    return { file: memory.subarray(0, bytesRead), memory };
  } finally {
    await handle.close();
  }
}

type Samples = Uint8Array | Uint16Array;

async function plainSamples(
  data: Buffer,
  { width, height, depth }: Header,
  channels: number,
): Promise<Samples> {
  const layout = layoutOf({ width, height }, channels, depth);
  const region = { top: 0, rows: height, left: 0, length: layout.stride };
  const rows = await (unpackRows ?? unpackRowsSlowly)(data, layout, region);
  return samplesOf(rows, width * channels, depth);
}

async function interlacedSamples(data: Buffer, header: Header, channels: number): Promise<Samples> {
  const { width, height, depth } = header;
  const passes = ADAM7.flatMap((step) => passOf(step, width, height));
  const layouts = passes.map((pass) => layoutOf(pass, channels, depth));
  const filtered = await inflated(
    data,
    layouts.reduce((sum, layout) => sum + filteredSize(layout), 0),
  );
  let at = 0;
  const parts = layouts.map((layout, i) => {
    const { stride, height, bytesPerPixel } = layout;
    const end = at + filteredSize(layout);
    const rows = unfilter(filtered.subarray(at, end), stride, height, bytesPerPixel);
    at = end;
    return samplesOf(rows, passes[i]!.width * channels, depth);
  });
  return weave(parts, passes, width, height, channels, depth);
}

function layoutOf(
  { width, height }: Pick<Pass, 'width' | 'height'>,
  channels: number,
  depth: number,
): PngLayout {
  const stride = Math.ceil((width * channels * depth) / 8);
  return { stride, height, bytesPerPixel: Math.max(1, (channels * depth) / 8) };
}

/** @param count samples of a row. */
function samplesOf(rows: Uint8Array, count: number, depth: number): Samples {
  return depth === 16 ? bigEndian(rows) : spread(rows, count, depth);
}

/** A part of the image that is stored on its own: every `dx`-th pixel of every `dy`-th row. */
interface Pass {
  readonly x: number;
  readonly y: number;
  readonly dx: number;
  readonly dy: number;
  readonly width: number;
  readonly height: number;
}

/** The seven passes of an interlaced PNG: first column and row, steps between columns and rows. */
const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

/** Of a small image some passes hold no pixel, and are not stored. */
function passOf([x, y, dx, dy]: (typeof ADAM7)[number], width: number, height: number): Pass[] {
  const pass = { x, y, dx, dy, width: Math.ceil((width - x) / dx), height: Math.ceil((height - y) / dy) };
  return pass.width > 0 && pass.height > 0 ? [pass] : [];
}

function weave(
  parts: readonly Samples[],
  passes: readonly Pass[],
  width: number,
  height: number,
  channels: number,
  depth: number,
): Samples {
  const samples = new (depth === 16 ? Uint16Array : Uint8Array)(width * height * channels);
  for (const [i, pass] of passes.entries()) {
    const part = parts[i]!;
    let from = 0;
    for (let row = 0; row < pass.height; row++) {
      for (let column = 0; column < pass.width; column++) {
        const to = ((pass.y + row * pass.dy) * width + pass.x + column * pass.dx) * channels;
        for (let c = 0; c < channels; c++) samples[to + c] = part[from++]!;
      }
    }
  }
  return samples;
}

interface Header {
  width: number;
  height: number;
  depth: number;
  colorType: number;
  interlaced: boolean;
}

interface Chunks {
  header: Header;
  palette: Uint8Array | undefined;
  /** A colour profile is given. */
  profile: boolean;
  orientation: number;
  data: Buffer;
}

function parseChunks(bytes: Buffer): Chunks {
  if (!bytes.subarray(0, 8).equals(SIGNATURE)) throw new Error('no PNG signature');
  let header: Header | undefined;
  let palette: Uint8Array | undefined;
  let exif: Buffer | undefined;
  let profile = false;
  let before = '';
  const parts: Buffer[] = [];
  for (let at = 8; ; ) {
    if (at + 12 > bytes.length) throw new Error('the file ends early');
    const length = bytes.readUInt32BE(at);
    const end = at + 8 + length;
    if (end + 4 > bytes.length) throw new Error('the file ends early');
    const type = bytes.toString('latin1', at + 4, at + 8);
    if (bytes.readUInt32BE(end) !== crc32(bytes.subarray(at + 4, end))) {
      throw new Error(`wrong checksum in chunk ${quoted(type)}`);
    }
    const content = bytes.subarray(at + 8, end);
    if (before === '' && type !== 'IHDR') throw new Error('it does not begin with a header');
    if (type === 'IHDR') {
      if (header || length !== 13) throw new Error(header ? 'it has two headers' : 'its header is damaged');
      header = headerOf(content);
    } else if (type === 'PLTE') {
      if (palette || parts.length > 0) throw new Error('a second palette, or one behind the pixels');
      if (length === 0 || length > 768 || length % 3 !== 0) throw new Error(`a palette of ${length} bytes`);
      palette = Uint8Array.from(content);
    } else if (type === 'IDAT') {
      if (parts.length > 0 && before !== 'IDAT') throw new Error(`pixels behind the chunk ${quoted(before)}`);
      parts.push(content);
    } else if (type === 'IEND') break;
    else if (type === 'iCCP') profile = true;
    else if (type === 'eXIf') {
      if (exif) throw new Error('two EXIF chunks');
      exif = content;
    } else if (!/^[a-z][a-zA-Z]{3}$/.test(type)) {
      // A capital letter says that nobody reads the pixels right who does not know the chunk.
      throw new Error(`the chunk ${quoted(type)}, which the PNG standard does not have`);
    }
    before = type;
    at = end + 4;
  }
  const indexed = header!.colorType === PALETTE;
  if (indexed && !palette) throw new Error('palette indices without a palette');
  const data = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  return {
    header: header!,
    palette: indexed ? palette : undefined,
    profile,
    orientation: exif ? orientationOf(exif) : 1,
    data,
  };
}

const quoted = (type: string) => JSON.stringify(type);

/** @throws Error for a form that the standard does not have */
function headerOf(content: Buffer): Header {
  const [depth, colorType, compression, filters, interlacing] = content.subarray(8);
  if (!DEPTHS[colorType!]?.includes(depth!)) {
    throw new Error(`colour type ${colorType} with ${depth} bits does not exist`);
  }
  if (compression !== 0 || filters !== 0 || interlacing! > 1) {
    throw new Error('compression, row filters or interlacing of a kind that does not exist');
  }
  return {
    width: content.readUInt32BE(0),
    height: content.readUInt32BE(4),
    depth: depth!,
    colorType: colorType!,
    interlaced: interlacing === 1,
  };
}

function bigEndian(rows: Uint8Array): Uint16Array {
  const samples = new Uint16Array(rows.length / 2);
  for (let i = 0; i < samples.length; i++) samples[i] = (rows[2 * i]! << 8) | rows[2 * i + 1]!;
  return samples;
}

/** Spreads rows of `count` 1-, 2- or 4-bit samples, each row padded to a whole byte, to one byte a sample. */
function spread(rows: Uint8Array, count: number, depth: number): Uint8Array {
  if (depth === 8) return rows;
  const stride = Math.ceil((count * depth) / 8);
  const samples = new Uint8Array((rows.length / stride) * count);
  const perByte = 8 / depth;
  const mask = (1 << depth) - 1;
  for (let i = 0; i < samples.length; i++) {
    const x = i % count;
    const byte = rows[Math.floor(i / count) * stride + Math.floor(x / perByte)]!;
    samples[i] = (byte >> (8 - depth * ((x % perByte) + 1))) & mask;
  }
  return samples;
}
