// RGB images: what is read of PNG files against what libvips reads, whole and in part.
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { DatasetError } from '../../src/errors.js';
import { decodeRgb, openImage } from '../../src/images/decode.js';
import { openRgbPng } from '../../src/images/png.js';
import { unpackRows } from '../../src/images/png-codec.js';
import { Workspace } from '../support/files.js';
import { randomBelow } from '../support/random.js';

const space = new Workspace();

/** Where the set-up found no libdeflate there is nothing to test. */
const there = unpackRows !== undefined;

describe('RGB images', () => {
  const image = fc.record({
    width: fc.integer({ min: 1, max: 20 }),
    height: fc.integer({ min: 1, max: 12 }),
    seed: fc.nat(),
    adaptiveFiltering: fc.boolean(),
    progressive: fc.boolean(),
    channels: fc.constantFrom(1 as const, 3 as const, 4 as const),
    profile: fc.boolean(),
  });

  test('are what libvips reads, whole and in part, whatever PNG they are', async () => {
    let native = 0;
    let files = 0;
    await fc.assert(
      fc.asyncProperty(image, async ({ width, height, seed, channels, profile, ...options }) => {
        const below = randomBelow(seed);
        const data = Uint8Array.from({ length: width * height * channels }, () => below(256));
        const drawn = sharp(data, { raw: { width, height, channels } }).toColourspace(
          channels < 3 ? 'b-w' : 'srgb',
        );
        if (profile && channels >= 3) drawn.withIccProfile('p3');
        // Libvips remembers what it read under a name.
        const file = await space.put(`${files++}.png`, await drawn.png(options).toBuffer());
        const expected = (region = { left: 0, top: 0, width, height }) =>
          sharp(file).extract(region).removeAlpha().toColourspace('srgb').raw().toBuffer();
        const fast = await openRgbPng(file);
        fast?.close();
        const plain = channels === 3 && !profile && !options.progressive;
        expect(fast !== undefined).toBe(there && plain);
        if (fast) native++;
        const whole = await decodeRgb(file);
        expect([whole.width, whole.height]).toEqual([width, height]);
        expect([...whole.data]).toEqual([...(await expected())]);
        const [left, top] = [below(width), below(height)];
        const region = { left, top, width: 1 + below(width - left), height: 1 + below(height - top) };
        const open = await openImage(file);
        try {
          expect([open.width, open.height]).toEqual([width, height]);
          expect([...(await open.decode(region)).data]).toEqual([...(await expected(region))]);
        } finally {
          await open.close();
        }
      }),
      { numRuns: 80 },
    );
    expect(native > 0).toBe(there);
  });

  test.runIf(there)('that are damaged anywhere fail with the name of the file', async () => {
    const pixels = { raw: { width: 8, height: 4, channels: 3 as const } };
    const whole = await sharp(Buffer.alloc(96, 7), pixels).png().toBuffer();
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 8, max: whole.length - 13 }),
        fc.integer({ min: 1, max: 255 }),
        async (at, change) => {
          const damaged = Buffer.from(whole);
          damaged[at]! ^= change;
          const file = await space.put(`d${at}-${change}.png`, damaged);
          const failed = await decodeRgb(file).catch((error) => error);
          expect(failed).toBeInstanceOf(DatasetError);
          expect(failed.message).toMatch(/d[-0-9]+\.png: not a readable image \(/);
        },
      ),
      { numRuns: 100 },
    );
  });

  test('of another kind under the name of a PNG are read all the same', async () => {
    const pixels = { raw: { width: 8, height: 8, channels: 3 as const } };
    const file = await space.put('photo.png', await sharp(Buffer.alloc(192, 90), pixels).jpeg().toBuffer());
    const { width, height, data } = await decodeRgb(file);
    expect([width, height, ...data]).toEqual([8, 8, ...Array(192).fill(90)]);
  });
});
