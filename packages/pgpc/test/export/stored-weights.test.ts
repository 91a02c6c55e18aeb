// Weights in 16 and in 8 bits against their definitions, value by value.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { storeWeight } from '../../src/export/stored-weights.js';

const float = fc.float({ noNaN: true, noDefaultInfinity: true, min: -1000, max: 1000 });

/** The value of 16 bits of IEEE 754. */
function half(bits: number): number {
  const [sign, exponent, fraction] = [bits >>> 15, (bits >>> 10) & 31, bits & 1023];
  const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return sign === 1 ? -size : size;
}

test('float16 is within half a step of each value', () => {
  fc.assert(
    fc.property(fc.array(float, { minLength: 1, maxLength: 40 }), (list) => {
      const values = Float32Array.from(list);
      const [stored] = storeWeight('float16', values, [1, values.length], 0, 'w').tensors;
      const bits = new Uint16Array(stored!.data.buffer, stored!.data.byteOffset, values.length);
      for (const [i, value] of values.entries()) {
        const step = 2 ** Math.max(-24, Math.floor(Math.log2(Math.abs(value) || 1e-9)) - 10);
        expect(Math.abs(half(bits[i]!) - value)).toBeLessThanOrEqual(step / 2);
      }
    }),
  );
});

test('float16 refuses what it cannot hold, by name', () => {
  const store = (value: number) => storeWeight('float16', Float32Array.of(value), [1, 1], 0, 'conv.weight');
  expect(() => store(65504)).not.toThrow();
  for (const value of [65520, -1e6, Number.POSITIVE_INFINITY, Number.NaN]) {
    expect(() => store(value)).toThrow(/^conv\.weight has values up to .*; take float32$/);
  }
});

test.each([0, 1])('int8 has a scale for each channel of axis %i and is within half of it', (axis) => {
  fc.assert(
    fc.property(fc.array(float, { minLength: 12, maxLength: 12 }), (list) => {
      const values = Float32Array.from(list);
      const [whole, scale] = storeWeight('int8', values, [3, 4], axis, 'w').tensors;
      const channel = (i: number) => (axis === 0 ? Math.floor(i / 4) : i % 4);
      expect([whole!.dims, scale!.dims]).toEqual([[3, 4], [axis === 0 ? 3 : 4]]);
      for (const [i, value] of values.entries()) {
        const step = scale!.data[channel(i)] as number;
        const largest = Math.max(...values.filter((_, j) => channel(j) === channel(i)).map(Math.abs));
        expect(step).toBeCloseTo(Math.max(largest / 127, 1e-30), 4);
        expect(Math.abs((whole!.data[i] as number) * step - value)).toBeLessThanOrEqual(0.5001 * step);
      }
    }),
  );
});
