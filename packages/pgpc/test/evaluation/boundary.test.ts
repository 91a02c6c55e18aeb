// Boundary IoU against erosion step by step, class by class, as its authors define it.

import { tidy } from '@pgpc/torch';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { boundaryCounts, boundaryMask, boundaryWidth } from '../../src/evaluation/boundary.js';
import { evaluateSegmentor } from '../../src/evaluation/evaluate.js';
import { Segmentor } from '../../src/models/segmentor.js';
import { Rng } from '../../src/random.js';
import { CLASSES, int64, memoryDataset, randomSample, tinySegmentor } from '../support/method.js';

type Map2d = readonly (readonly number[])[];

/** The pixels of a mask that `d` erosions by a 3 x 3 square take away; beyond the border there is nothing. */
function slowBoundary(mask: readonly (readonly boolean[])[], d: number): boolean[][] {
  let eroded = mask.map((row) => [...row]);
  const at = (y: number, x: number) => eroded[y]?.[x] ?? false;
  for (let step = 0; step < d; step++) {
    eroded = eroded.map((row, y) =>
      row.map((_, x) => [-1, 0, 1].every((dy) => [-1, 0, 1].every((dx) => at(y + dy, x + dx)))),
    );
  }
  return mask.map((row, y) => row.map((inside, x) => inside && !eroded[y]![x]));
}

function slowCounts(truth: Map2d, guess: Map2d, classes: number, d: number) {
  const known = (y: number, x: number) => truth[y]![x] !== 255;
  const counts = { intersection: [] as number[], truth: [] as number[], prediction: [] as number[] };
  for (let c = 0; c < classes; c++) {
    const of = (map: Map2d) =>
      slowBoundary(
        map.map((row, y) => row.map((value, x) => value === c && known(y, x))),
        d,
      ).flat();
    const [t, g] = [of(truth), of(guess)];
    const count = (values: readonly boolean[]) => values.filter(Boolean).length;
    counts.truth.push(count(t));
    counts.prediction.push(count(g));
    counts.intersection.push(count(t.map((value, i) => value && g[i]!)));
  }
  return counts;
}

/** Blocks of classes, some pixels of them 255 where `ignore`. */
function randomMap(height: number, width: number, seed: number, ignore: boolean): number[][] {
  const rng = new Rng(seed, 'map');
  const block = 1 + rng.below(6);
  const blocks = Array.from({ length: height * width }, () =>
    ignore && rng.below(8) === 0 ? 255 : rng.below(3),
  );
  return Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) => blocks[Math.floor(y / block) * width + Math.floor(x / block)]!),
  );
}

const uint8 = (map: Map2d) => int64(map.flat(), [map.length, map[0]!.length]).to('uint8');

test('the mask of all classes at once is that of each class by erosion, for any width', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1e6 }),
      fc.integer({ min: 1, max: 14 }),
      fc.integer({ min: 1, max: 14 }),
      fc.integer({ min: 1, max: 5 }),
      (seed, height, width, d) =>
        tidy(() => {
          const map = randomMap(height, width, seed, false);
          const expected = map.map((row) => row.map(() => false));
          for (let c = 0; c < 3; c++) {
            slowBoundary(
              map.map((row) => row.map((value) => value === c)),
              d,
            ).forEach((row, y) => {
              row.forEach((edge, x) => {
                if (edge) expected[y]![x] = true;
              });
            });
          }
          expect(boundaryMask(uint8(map), d).tolist()).toEqual(expected);
        }),
    ),
    { numRuns: 100 },
  );
});

test('counts equal the counts of every class on its own, without the pixels that have no label', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1e6 }),
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 60 }),
      (seed, height, width) =>
        tidy(() => {
          const truth = randomMap(height, width, seed, true);
          const guess = randomMap(height, width, seed + 1, false);
          const { intersection, truth: t, prediction } = boundaryCounts(uint8(truth), uint8(guess), 3);
          expect({
            intersection: intersection.tolist(),
            truth: t.tolist(),
            prediction: prediction.tolist(),
          }).toEqual(slowCounts(truth, guess, 3, boundaryWidth(height, width)));
        }),
    ),
    { numRuns: 60 },
  );
});

test('the boundary is 2 % of the diagonal wide, and a pixel at least', () => {
  expect(boundaryWidth(1024, 2048)).toBe(46);
  expect(boundaryWidth(4, 4)).toBe(1);
  expect(boundaryWidth(75, 100)).toBe(2);
  // 1.5, as Python rounds it.
  expect(boundaryWidth(45, 60)).toBe(2);
});

test('evaluation sums boundaries over the images', async () => {
  const samples = [randomSample(64, 32, 1), randomSample(32, 48, 2)];
  const segmentor = new Segmentor(tinySegmentor, 3);
  const total = Array.from({ length: CLASSES }, () => ({ both: 0, either: 0 }));
  const { boundary } = await evaluateSegmentor(segmentor, memoryDataset(samples), {
    boundary: true,
    onImage: (_done, _total, index, prediction) => {
      const { width, height, data } = samples[index]!.label;
      const truth = Array.from({ length: height }, (_, y) => [...data.subarray(y * width, (y + 1) * width)]);
      const guess = prediction.tolist() as number[][];
      const counts = slowCounts(truth, guess, CLASSES, boundaryWidth(height, width));
      total.forEach((sum, c) => {
        sum.both += counts.intersection[c]!;
        sum.either += counts.truth[c]! + counts.prediction[c]! - counts.intersection[c]!;
      });
    },
  });
  const expected = total.map(({ both, either }) => both / either);
  expect(boundary!.iou).toEqual(expected);
  expect(boundary!.iou.some((value) => value > 0)).toBe(true);
  const known = expected.filter((value) => !Number.isNaN(value));
  expect(boundary!.miou).toBeCloseTo(known.reduce((sum, value) => sum + value) / known.length, 12);
});
