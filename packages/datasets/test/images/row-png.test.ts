// PNG files whose rows can be read one by one: what everybody else reads of them, and what damage is found.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import sharp from 'sharp';
import { afterAll, describe, expect, test } from 'vitest';
import { DatasetError } from '../../src/errors.js';
import { openImage } from '../../src/images/decode.js';
import { readPng } from '../../src/images/png.js';
import { encodeRowPng, MOST_COLUMNS, RowPng } from '../../src/images/row-png.js';
import { randomBelow } from '../support/random.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-rows-'));
afterAll(() => rmSync(folder, { recursive: true }));

function randomImage(width: number, height: number, seed: number) {
  const below = randomBelow(seed);
  return { width, height, data: Uint8Array.from({ length: 3 * width * height }, () => below(256)) };
}

function written(image: ReturnType<typeof randomImage>, name = 'image.png'): string {
  const file = join(folder, name);
  writeFileSync(file, encodeRowPng(image));
  return file;
}

const side = fc.integer({ min: 1, max: 40 });

describe('a PNG of rows', () => {
  test('is what libvips and our own reader read, whole', async () => {
    await fc.assert(
      fc.asyncProperty(side, side, fc.integer({ min: 0, max: 1e6 }), async (width, height, seed) => {
        const image = randomImage(width, height, seed);
        const file = written(image);
        const { data, info } = await sharp(file).raw().toBuffer({ resolveWithObject: true });
        expect([info.width, info.height, info.channels]).toEqual([width, height, 3]);
        expect([...data]).toEqual([...image.data]);
        const { samples, channels, depth } = await readPng(file);
        expect([channels, depth]).toEqual([3, 8]);
        expect([...samples]).toEqual([...image.data]);
      }),
      { numRuns: 30 },
    );
  });

  test('gives any region without the rest', async () => {
    await fc.assert(
      fc.asyncProperty(side, side, fc.integer({ min: 0, max: 1e6 }), async (width, height, seed) => {
        const image = randomImage(width, height, seed);
        const file = written(image);
        const below = randomBelow(seed);
        const [left, top] = [below(width), below(height)];
        const region = { left, top, width: 1 + below(width - left), height: 1 + below(height - top) };
        const open = await openImage(file);
        expect([open.width, open.height]).toEqual([width, height]);
        const part = await open.decode(region);
        const pixels = [...part.data];
        await open.close();
        const whole = await sharp(file).extract(region).raw().toBuffer();
        expect({ width: part.width, height: part.height }).toEqual({
          width: region.width,
          height: region.height,
        });
        expect(pixels).toEqual([...whole]);
      }),
      { numRuns: 30 },
    );
  });

  test('two that are open at once do not share their pixels', async () => {
    const images = [randomImage(9, 7, 1), randomImage(9, 7, 2)];
    const files = images.map((image, i) => written(image, `both-${i}.png`));
    for (let round = 0; round < 3; round++) {
      const open = await Promise.all(files.map((file) => openImage(file)));
      const whole = { left: 0, top: 0, width: 9, height: 7 };
      const parts = await Promise.all(open.map((image) => image.decode(whole)));
      for (const [i, { data }] of parts.entries()) expect([...data]).toEqual([...images[i]!.data]);
      await Promise.all(open.map((image) => image.close()));
    }
  });

  test('tells which row is damaged, and that a file ends early', async () => {
    const image = randomImage(11, 6, 3);
    const file = written(image, 'damaged.png');
    const bytes = readFileSync(file);
    const rowLength = 18 + 33;
    bytes[59 + 4 * rowLength + 30]! ^= 1;
    writeFileSync(file, bytes);
    const region = (top: number, height: number) => ({ left: 2, top, width: 5, height });
    const decode = async (top: number, height: number) => {
      const open = await openImage(file);
      try {
        return await open.decode(region(top, height));
      } finally {
        await open.close();
      }
    };
    expect((await decode(0, 4)).height).toBe(4);
    await expect(decode(3, 3)).rejects.toThrow(DatasetError);
    await expect(decode(3, 3)).rejects.toThrow(
      /damaged.png: not a readable image \(wrong checksum in row 4\)/,
    );
    writeFileSync(file, bytes.subarray(0, 59 + 3 * rowLength));
    await expect(decode(2, 2)).rejects.toThrow('the file ends early');
  });

  test('other files are left to others', async () => {
    const file = join(folder, 'other.png');
    const pixels = { raw: { width: 8, height: 4, channels: 3 as const } };
    await sharp(Buffer.alloc(96, 7), pixels).png().toFile(file);
    expect(await RowPng.open(file)).toBeUndefined();
    const open = await openImage(file);
    expect((await open.decode({ left: 1, top: 1, width: 2, height: 2 })).data).toEqual(
      new Uint8Array(12).fill(7),
    );
    await open.close();
    writeFileSync(file, 'short');
    expect(await RowPng.open(file)).toBeUndefined();
    await expect(openImage(file)).rejects.toThrow('not a readable image');
    await expect(openImage(join(folder, 'missing.png'))).rejects.toThrow('missing.png: not found');
    expect(() => encodeRowPng({ width: MOST_COLUMNS + 1, height: 0, data: new Uint8Array(0) })).toThrow(
      RangeError,
    );
  });
});
