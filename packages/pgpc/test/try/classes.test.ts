// The page's way from logits to classes, beside the one of `pgpc predict`.

import { fromTypedArray, Generator, randn, tidy } from '@pgpc/torch';
import { expect, test } from 'vitest';
import { averagedTiles, classifyRows, resizedRows, tensorRows } from '../../src/evaluation/row-map.js';
import { windowBoxes } from '../../src/windows.js';
import { averagedWindows, largestClasses } from '../../try-page/src/classes.js';

test.each([
  ['enlarged twice', [13, 9], [52, 36], [101, 70]],
  ['made smaller in the end', [16, 12], [64, 48], [21, 17]],
  ['as large as the input', [11, 7], [44, 28], [44, 28]],
  ['of one row of logits', [5, 1], [20, 4], [33, 9]],
] as const)('gives the classes of predict, %s', (_, logits, input, picture) => {
  const [width, height] = logits;
  const size = ([columns, rows]: readonly [number, number]) => ({ width: columns, height: rows });
  using generator = new Generator(1);
  using scores = randn([1, 7, height, width], { generator });
  const data = scores.toArray() as Float32Array;
  const ours = largestClasses({ data, channels: 7, width, height }, size(input), size(picture));
  const map = resizedRows(resizedRows(tensorRows(scores), size(input)), size(picture));
  using labels = classifyRows([map]).labels;
  const theirs = labels.toArray() as Uint8Array;
  const equal = ours.filter((label, i) => label === theirs[i]).length;
  // Only where two classes are level within a rounding may the two differ.
  expect(equal / theirs.length).toBeGreaterThan(0.999);
  expect(new Set(ours).size).toBeGreaterThan(2);
});

test('takes the first of several largest', () => {
  const data = Float32Array.of(1, 1, 1, 1, 1, 1, 1, 1);
  const size = { width: 2, height: 2 };
  expect([...largestClasses({ data, channels: 2, ...size }, size, size)]).toEqual([0, 0, 0, 0]);
  tidy(() => expect(fromTypedArray(data, [1, 2, 2, 2]).argmax(1).sum().item()).toBe(0));
});

test('averages windows as predict does', () => {
  const [window, input] = [
    { width: 32, height: 24 },
    { width: 75, height: 40 },
  ];
  using generator = new Generator(2);
  tidy(() => {
    const seen = windowBoxes([input.height, input.width], window, { width: 16, height: 12 }).map((box) => ({
      box,
      logits: randn([1, 5, 6, 8], { generator }),
    }));
    expect(seen.length).toBeGreaterThan(6);
    const ours = averagedWindows(
      seen.map(({ box: { top, left }, logits }) => {
        const data = logits.toArray() as Float32Array;
        return { top, left, scores: { data, channels: 5, width: 8, height: 6 } };
      }),
      window,
      input,
    );
    const tiles = seen.map(({ box, logits }) => ({ ...box, map: resizedRows(tensorRows(logits), box) }));
    const theirs = averagedTiles(tiles, input).rows(0, input.height);
    const mine = fromTypedArray(ours.data, [1, 5, input.height, input.width]);
    expect(mine.sub(theirs).abs().max().item()).toBeLessThan(1e-5);
  });
});
