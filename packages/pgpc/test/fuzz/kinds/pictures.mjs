// Pictures of the other formats that are read, as images and labels, by libvips.
import { join } from 'node:path';
import { decodeRgb, readLabelValues } from '@pgpc/datasets';
import sharp from 'sharp';
import { imageSize } from '../../../../datasets/dist/images/decode.js';
import { expectSame, judged } from '../judge.mjs';
import { changeBytes, Random } from '../random.mjs';

const FORMATS = ['jpeg', 'webp', 'tiff', 'gif', 'avif'];

/** Pictures that are right, made once. */
const whole = [];
for (const [i, format] of [...FORMATS, ...FORMATS].entries()) {
  const [width, height, channels] = [9 + i, 7, i < FORMATS.length ? 3 : 1];
  const pixels = new Random(1, i).bytes(width * height * channels);
  const picture = sharp(pixels, { raw: { width, height, channels } });
  const options = format === 'webp' ? { lossless: i >= FORMATS.length } : { quality: 80 };
  whole.push(
    await picture
      .withMetadata({ orientation: 1 + (i % 8) })
      [format](options)
      .toBuffer(),
  );
}

function make(random) {
  const bytes = random.pick(whole);
  const changed = random.chance(0.95) ? changeBytes(random, bytes, 4, random.pick(whole)) : bytes;
  return new Map([['a.png', changed]]);
}

async function read(folder, random) {
  const file = join(folder, 'a.png');
  if (random.chance(0.3)) {
    const coding = { kind: 'colors', colors: Uint32Array.of(0), trainIds: Uint8Array.of(0) };
    return (await judged('readLabelValues', file, () => readLabelValues(file, coding))) !== undefined;
  }
  const image = await judged('decodeRgb', file, () => decodeRgb(file));
  const size = await judged('imageSize', file, () => imageSize(file));
  if (image === undefined) return false;
  expectSame('imageSize', 'width', size?.width, image.width);
  expectSame('decodeRgb', 'number of bytes', image.data.length, 3 * image.width * image.height);
  return true;
}

export const pictures = { lanes: 8, make, read };
