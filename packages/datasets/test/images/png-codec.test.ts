// The native decoder of PNG rows against the one in JavaScript, and checksums.
import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  crc32,
  type PngLayout,
  type PngRegion,
  slowCrc32,
  unpackRows,
  unpackRowsSlowly,
} from '../../src/images/png-codec.js';
import { randomBelow } from '../support/random.js';

/** Where the set-up found no libdeflate there is nothing to test. */
const there = unpackRows !== undefined;

interface Rows {
  layout: PngLayout;
  region: PngRegion;
  /** As a PNG's IDAT chunks hold them. */
  data: Uint8Array;
}

/** Rows of random bytes, each with a random filter, and a region of them. */
const anyRows = fc
  .record({
    bytesPerPixel: fc.constantFrom(1, 2, 3, 4, 6, 8),
    width: fc.integer({ min: 1, max: 33 }),
    height: fc.integer({ min: 1, max: 9 }),
    seed: fc.nat(),
    filters: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 9, maxLength: 9 }),
    /** Of the bytes' range: small ones bring about the ties of Paeth's predictor. */
    range: fc.constantFrom(2, 16, 256),
  })
  .map(({ bytesPerPixel, width, height, seed, filters, range }): Rows => {
    const stride = bytesPerPixel * width;
    const below = randomBelow(seed);
    const bytes = Uint8Array.from({ length: (stride + 1) * height }, (_, i) =>
      i % (stride + 1) === 0 ? filters[i / (stride + 1)]! : below(range),
    );
    const [top, left] = [below(height), below(stride)];
    const region = { top, left, rows: below(height - top + 1), length: below(stride - left + 1) };
    return { layout: { stride, height, bytesPerPixel }, region, data: deflateSync(bytes) };
  });

describe.runIf(there)('rows of a PNG, natively', () => {
  test('are what the slow way gives, for every filter and size of pixel', async () => {
    await fc.assert(
      fc.asyncProperty(anyRows, async ({ data, layout, region }) => {
        const slow = await unpackRowsSlowly(data, layout, region);
        expect([...(await unpackRows!(data, layout, region))]).toEqual([...slow]);
      }),
      { numRuns: 300 },
    );
  });

  test('of many images at once do not mix', async () => {
    const all = fc.sample(anyRows, { numRuns: 60, seed: 5 });
    const slow = await Promise.all(
      all.map(({ data, layout, region }) => unpackRowsSlowly(data, layout, region)),
    );
    const fast = await Promise.all(all.map(({ data, layout, region }) => unpackRows!(data, layout, region)));
    for (const [i, rows] of fast.entries()) expect([...rows]).toEqual([...slow[i]!]);
  });

  test('that are damaged, or of another size, are refused', async () => {
    const layout = { stride: 3, height: 2, bytesPerPixel: 3 };
    const whole = { top: 0, rows: 2, left: 0, length: 3 };
    const unpack = (bytes: number[], region = whole) =>
      unpackRows!(deflateSync(Uint8Array.from(bytes)), layout, region);
    expect([...(await unpack([0, 1, 2, 3, 2, 1, 1, 1]))]).toEqual([1, 2, 3, 2, 3, 4]);
    await expect(unpack([0, 1, 2, 3])).rejects.toThrow("4 bytes of pixels where the header's size needs 8");
    await expect(unpack([0, 1, 2, 3, 0, 1, 2, 3, 0])).rejects.toThrow('9 bytes of pixels');
    await expect(unpack(Array(30).fill(0))).rejects.toThrow('more bytes of pixels than the 8');
    await expect(unpack([0, 1, 2, 3, 7, 1, 2, 3])).rejects.toThrow('row 1 has the unknown filter 7');
    const data = deflateSync(Uint8Array.from([0, 1, 2, 3, 0, 1, 2, 3]));
    data[data.length - 1]! ^= 1;
    await expect(unpackRows!(data, layout, whole)).rejects.toThrow('damaged');
    await expect(unpackRows!(new Uint8Array(0), layout, whole)).rejects.toThrow('cannot hold');
  });

  test('are not given from outside the image', async () => {
    const layout = { stride: 6, height: 2, bytesPerPixel: 3 };
    const data = deflateSync(new Uint8Array(14));
    for (const region of [
      { top: 0, rows: 3, left: 0, length: 6 },
      { top: 3, rows: 0, left: 0, length: 6 },
      { top: 0, rows: 1, left: 1, length: 6 },
      { top: -1, rows: 1, left: 0, length: 6 },
    ]) {
      await expect(unpackRows!(data, layout, region)).rejects.toThrow(RangeError);
    }
    const inside = { top: 0, rows: 1, left: 0, length: 6 };
    await expect(unpackRows!(data, { ...layout, bytesPerPixel: 5 }, inside)).rejects.toThrow(RangeError);
    const vast = { stride: 2 ** 33, height: 2 ** 33, bytesPerPixel: 3 };
    await expect(unpackRows!(data, vast, inside)).rejects.toThrow('cannot hold');
  });
});

describe('checksums', () => {
  test('are as the table gives them', () => {
    expect(crc32(Buffer.from('123456789'))).toBe(0xcbf43926);
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => crc32(bytes) === slowCrc32(bytes)));
  });
});
