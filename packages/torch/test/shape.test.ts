// Shapes as checked tuples.

import { expect, test } from 'vitest';
import { dims, sizeOf, zeros } from '../src/index.js';

test('dims gives all sizes, and refuses a tensor of another number of dimensions', () => {
  const [batch, channels, height, width] = dims(zeros([2, 3, 4, 5]), 4);
  expect([batch, channels, height, width]).toEqual([2, 3, 4, 5]);
  expect(() => dims(zeros([2, 3]), 4)).toThrow('expected 4 dimensions, but the shape is [2,3]');
});

test('sizeOf gives height and width of maps and of labels', () => {
  expect(sizeOf(zeros([2, 3, 4, 5]))).toEqual([4, 5]);
  expect(sizeOf(zeros([2, 4, 5]))).toEqual([4, 5]);
  expect(() => sizeOf(zeros([2]))).toThrow(RangeError);
});
