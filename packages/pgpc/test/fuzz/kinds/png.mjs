// PNG files, as images, labels and copies: their chunks, headers and rows are changed, with the checksums that fit.
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { decodeRgb, openImage, readLabelValues } from '@pgpc/datasets';
import sharp from 'sharp';
import { imageSize } from '../../../../datasets/dist/images/decode.js';
import { crc32 } from '../../../../datasets/dist/images/png-codec.js';
import { encodeRowPng } from '../../../../datasets/dist/images/row-png.js';
import { expectSame, judged } from '../judge.mjs';
import { changeBytes, EDGES } from '../random.mjs';

const SIGNATURE = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);
const CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
/** Colour types and depths that there are, and some that there are not. */
const FORMS = [
  ...[2, 2, 2, 2, 2].map((type) => [type, 8]),
  ...[1, 2, 4, 8, 16].map((depth) => [0, depth]),
  ...[1, 2, 4, 8].map((depth) => [3, depth]),
  ...[2, 4, 6].map((type) => [type, 16]),
  ...[4, 6].map((type) => [type, 8]),
];
const WRONG_FORMS = [
  ...[1, 5, 7, 255].map((type) => [type, 8]),
  ...[0, 3, 32, 255].map((depth) => [2, depth]),
  ...[
    [2, 1],
    [2, 4],
    [3, 16],
    [4, 2],
    [6, 1],
  ],
];
const ANCILLARY = [
  'tEXt',
  'gAMA',
  'pHYs',
  'tRNS',
  'iCCP',
  'sRGB',
  'eXIf',
  'zTXt',
  'bKGD',
  'tIME',
  'acTL',
  'abcd',
];
const CRITICAL = ['ABCD', 'IHDR', 'PLTE', 'IDAT', 'IEND', 'CgBI', 'I\0AT'];

const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];

function rowsOf(random, width, height, bits, most) {
  const stride = Math.ceil((width * bits) / 8);
  const rows = Buffer.alloc((stride + 1) * height);
  for (let i = 0; i < rows.length; i++) {
    const isFilter = i % (stride + 1) === 0;
    rows[i] = isFilter ? random.below(random.chance(0.02) ? 256 : 5) : random.below(most);
  }
  return rows;
}

function pixelsOf(random, width, height, bits, interlaced) {
  const most = random.pick([2, 8, 256]);
  if (!interlaced) return rowsOf(random, width, height, bits, most);
  return Buffer.concat(
    ADAM7.map(([x, y, dx, dy]) => {
      const [columns, rows] = [Math.ceil((width - x) / dx), Math.ceil((height - y) / dy)];
      return columns > 0 && rows > 0 ? rowsOf(random, columns, rows, bits, most) : Buffer.alloc(0);
    }),
  );
}

function exif(random) {
  const bytes = Buffer.from('4d4d002a00000008000101120003000000010001000000000000', 'hex');
  bytes[19] = random.below(10);
  return random.chance(0.3) ? changeBytes(random, bytes, 2) : bytes;
}

/** The chunks of a PNG that is whole. */
function chunksOf(random) {
  const [type, depth] = random.pick(random.chance(0.03) ? WRONG_FORMS : FORMS);
  const [width, height] = [random.between(1, 20), random.between(1, 20)];
  const interlaced = random.chance(0.1) ? 1 : 0;
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, type, 0, 0, interlaced], 8);
  const bits = (CHANNELS[type] ?? 1) * (depth > 16 ? 8 : depth);
  const pixels = pixelsOf(random, width, height, bits, interlaced === 1);
  const packed = deflateSync(changed(random, pixels, 0.1), { level: random.pick([0, 1, 6]) });
  const chunks = [['IHDR', header]];
  if (type === 3) chunks.push(['PLTE', random.bytes(3 * 2 ** Math.min(8, depth))]);
  chunks.push(['IDAT', packed], ['IEND', Buffer.alloc(0)]);
  return chunks;
}

const changed = (random, bytes, share) => (random.chance(share) ? changeBytes(random, bytes, 2) : bytes);

const CHANGES = [
  // The header's fields.
  (random, chunks) => {
    const header = Buffer.from(chunks[0]?.[1] ?? []);
    if (header.length < 13) return;
    if (random.chance(0.6)) header.writeUInt32BE(random.pick(EDGES), random.pick([0, 4]));
    else header[random.between(8, 12)] = random.pick([0, 1, 2, 3, 4, 6, 8, 16, random.below(256)]);
    chunks[0] = [chunks[0][0], header];
  },
  (random, chunks) => chunks.splice(random.below(chunks.length), 1),
  (random, chunks) => chunks.splice(random.below(chunks.length + 1), 0, random.pick(chunks)),
  (random, chunks) => chunks.push(...chunks.splice(random.below(chunks.length), 1)),
  (random, chunks) => chunks.splice(random.between(1, chunks.length), 0, ['eXIf', exif(random)]),
  (random, chunks) =>
    chunks.splice(random.below(chunks.length + 1), 0, [
      random.pick(random.chance(0.6) ? ANCILLARY : CRITICAL),
      random.bytes(random.pick([0, 1, 2, 3, 13, 256, 768])),
    ]),
  // The pixels in several chunks, with and without others between.
  (random, chunks) => {
    const at = chunks.findIndex(([type]) => type === 'IDAT');
    if (at < 0) return;
    const [, bytes] = chunks[at];
    const cut = random.below(bytes.length + 1);
    const between = random.chance(0.5) ? [[random.pick(ANCILLARY), Buffer.alloc(4)]] : [];
    chunks.splice(at, 1, ['IDAT', bytes.subarray(0, cut)], ...between, ['IDAT', bytes.subarray(cut)]);
  },
  (random, chunks) => {
    const at = random.below(chunks.length);
    chunks[at] = [chunks[at][0], changeBytes(random, chunks[at][1], 3)];
  },
];

function fileOf(chunks, random) {
  const parts = [SIGNATURE];
  for (const [type, content] of chunks) {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), content]);
    const bytes = Buffer.alloc(body.length + 8);
    bytes.writeUInt32BE(content.length, 0);
    body.copy(bytes, 4);
    bytes.writeUInt32BE(crc32(body), body.length + 4);
    if (random.chance(0.01)) bytes.writeUInt32BE(random.pick(EDGES), random.pick([0, body.length + 4]));
    parts.push(bytes);
  }
  return Buffer.concat(parts);
}

const rgbOf = (random) => {
  const [width, height] = [random.between(1, 20), random.between(1, 20)];
  return { width, height, data: random.bytes(3 * width * height) };
};

/** Gives chunks the checksums that fit, as far as their lengths lead. */
export function withChecksums(bytes) {
  const repaired = Buffer.from(bytes);
  for (let at = 8; at + 12 <= repaired.length; ) {
    const end = at + 8 + repaired.readUInt32BE(at);
    if (end + 4 > repaired.length) break;
    repaired.writeUInt32BE(crc32(repaired.subarray(at + 4, end)), end);
    at = end + 4;
  }
  return repaired;
}

function make(random) {
  let bytes;
  if (random.chance(0.1)) {
    bytes = Buffer.from(encodeRowPng(rgbOf(random)));
    if (random.chance(0.5)) bytes = withChecksums(changeBytes(random, bytes, 2));
  } else {
    const chunks = random.chance(0.05)
      ? [
          ['IHDR', Buffer.alloc(13)],
          ['IEND', Buffer.alloc(0)],
        ]
      : chunksOf(random);
    for (let n = random.below(3); n > 0 && chunks.length > 0; n--) random.pick(CHANGES)(random, chunks);
    bytes = fileOf(chunks, random);
  }
  if (random.chance(0.2)) bytes = changeBytes(random, bytes, 3);
  if (random.chance(0.1)) bytes = withChecksums(bytes);
  return new Map([['a.png', bytes]]);
}

const table = Uint8Array.from({ length: 256 }, (_, i) => (i < 8 ? i : 255));
const CODINGS = [
  { kind: 'values', table },
  { kind: 'colors', colors: Uint32Array.of(0, 0xffffff), trainIds: Uint8Array.of(0, 1) },
  { kind: 'first-channel', table },
  { kind: 'first-of-16-bit', table },
];

async function read(folder, random, files) {
  const file = join(folder, 'a.png');
  const head = files.get('a.png').subarray(24, 29);
  const isPlainRgb = head[0] === 8 && head[1] === 2 && head[4] === 0;
  // Others are read by libvips, which takes ten times as long.
  if (random.chance(isPlainRgb ? 0.6 : 0.02)) return readAsImage(file, random);
  const coding = random.below(5);
  const use = coding < 4 ? CODINGS[coding] : { kind: 'layers', files: [file] };
  const label = await judged('readLabelValues', file, () => readLabelValues(file, use));
  if (label === undefined) return false;
  const { width, height, values } = label;
  expectSame('readLabelValues', 'number of values', values.length, width * height);
  return true;
}

async function readAsImage(file, random) {
  const [image, opened, size] = await Promise.all([
    judged('decodeRgb', file, () => decodeRgb(file)),
    random.chance(0.5) ? judged('openImage', file, () => decodedPart(file, random)) : undefined,
    random.chance(0.02) ? judged('imageSize', file, () => imageSize(file)) : undefined,
  ]);
  if (image === undefined) return opened !== undefined;
  expectSame('decodeRgb', 'number of bytes', image.data.length, 3 * image.width * image.height);
  if (opened) checkPart(image, opened);
  if (size) expectSame('imageSize', 'width', size.width, image.width);
  if (random.chance(0.05)) await compareWithLibvips(file, image);
  return true;
}

/** Any part of an image. */
async function decodedPart(file, random) {
  const draws = Array.from({ length: 4 }, () => random.next());
  const opened = await openImage(file);
  try {
    const [left, top] = [draws[0] % opened.width, draws[1] % opened.height];
    const width = 1 + (draws[2] % (opened.width - left));
    const height = 1 + (draws[3] % (opened.height - top));
    const { data } = await opened.decode({ left, top, width, height });
    return { left, top, width, height, size: opened, data: Buffer.from(data) };
  } finally {
    await opened.close();
  }
}

function checkPart(image, { left, top, width, height, size, data }) {
  expectSame('openImage', 'width', size.width, image.width);
  expectSame('openImage', 'number of bytes', data.length, 3 * width * height);
  for (let y = 0; y < height; y++) {
    const from = 3 * ((top + y) * image.width + left);
    const whole = Buffer.from(image.data.buffer, image.data.byteOffset + from, 3 * width);
    const part = data.subarray(3 * y * width, 3 * (y + 1) * width);
    expectSame('openImage', 'pixels', part.equals(whole), true);
  }
}

/** libpng is stricter in places; where it reads a file, the pixels are the same. */
async function compareWithLibvips(file, { width, height, data }) {
  const { channels, depth, hasProfile } = await sharp(file)
    .metadata()
    .catch(() => ({}));
  if (depth !== 'uchar' || hasProfile || channels < 3) return;
  const other = await sharp(file)
    .autoOrient()
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true })
    .catch(() => undefined);
  if (other === undefined) return;
  expectSame('decodeRgb', 'width against libvips', width, other.info.width);
  expectSame('decodeRgb', 'height against libvips', height, other.info.height);
  expectSame('decodeRgb', 'pixels against libvips', other.data.equals(data), true);
}

export const png = { lanes: 16, make, read, repair: (_, bytes) => withChecksums(bytes) };
