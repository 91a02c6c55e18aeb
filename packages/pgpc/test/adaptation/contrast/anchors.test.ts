// The selections of anchors, each against loops over pixels and classes.

import { type Tensor, tensor, tidy } from '@pgpc/torch';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { anchorShareAt, classQuantiles, selectAnchors } from '../../../src/adaptation/contrast/anchors.js';
import { anchorSelections, contrastSettings } from '../../../src/config/contrast.js';
import { Rng } from '../../../src/random.js';
import { slowAnchors } from '../../support/contrast.js';
import { int64, matrix, normal, tinyContrast } from '../../support/method.js';

const seeds = fc.integer({ min: 0, max: 1e6 });
const shares = fc.double({ min: 0.01, max: 1, noNaN: true });

function probabilities(pixels: number, classes: number, seed: number): Tensor {
  return tidy(() => normal([pixels, classes], seed).mul(2).softmax(1));
}

test.each(anchorSelections)('%s takes the pixels that loops find, each for its own class alone', (name) => {
  fc.assert(
    fc.property(
      seeds,
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 2, max: 6 }),
      shares,
      (seed, pixels, classes, anchorShare) =>
        tidy(() => {
          const p = probabilities(pixels, classes, seed);
          const rule = { anchorSelection: name, anchorShare, anchorThreshold: 0.6 };
          // Rounding to float32 may change the order of two entropies that nearly tie.
          const levels = matrix(p)
            .map((row) => -row.reduce((sum, x) => sum + (x > 0 ? x * Math.log(x) : 0), 0))
            .sort((a, b) => a - b);
          fc.pre(levels.every((h, i) => i === 0 || h - levels[i - 1]! > 3e-6));
          const slow = slowAnchors(matrix(p), rule);
          const fast = selectAnchors(p, rule).tolist() as boolean[][];
          expect(fast).toEqual(Array.from({ length: classes }, (_, c) => slow.map((own) => own === c)));
        }),
    ),
    { numRuns: 40 },
  );
});

test('the selections differ in what they are named for', () => {
  tidy(() => {
    // Class 0 is certain everywhere, class 1 nowhere.
    const p = tensor([
      [0.99, 0.01],
      [0.98, 0.02],
      [0.97, 0.03],
      [0.96, 0.04],
      [0.4, 0.6],
      [0.45, 0.55],
    ]);
    const taken = (anchorSelection: (typeof anchorSelections)[number]) =>
      (
        selectAnchors(p, { anchorSelection, anchorShare: 0.5, anchorThreshold: 0.968 })
          .any(0)
          .tolist() as boolean[]
      ).flatMap((yes, i) => (yes ? [i] : []));
    expect(taken('global-entropy')).toEqual([0, 1, 2]);
    expect(taken('class-entropy')).toEqual([0, 1, 4]);
    expect(taken('class-confidence')).toEqual([0, 1, 4]);
    expect(taken('threshold')).toEqual([0, 1, 2]);
    expect(taken('random')).toEqual([0, 1, 2, 3, 4, 5]);
  });
});

test('the quantiles of every class equal a sorted list’s', () => {
  fc.assert(
    fc.property(
      seeds,
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 1, max: 6 }),
      shares,
      (seed, n, classes, share) =>
        tidy(() => {
          const rng = new Rng(seed, 'label');
          const label = Array.from({ length: n }, () => rng.below(classes));
          // Few values, so that there are ties.
          const values = Array.from({ length: n }, () => rng.below(8));
          const fast = classQuantiles(tensor(values), int64(label), classes, share).tolist() as number[];
          for (let c = 0; c < classes; c++) {
            const own = values.filter((_, i) => label[i] === c).sort((a, b) => a - b);
            if (own.length > 0) expect(fast[c]).toBe(own[Math.max(1, Math.floor(share * own.length)) - 1]);
          }
        }),
    ),
    { numRuns: 60 },
  );
});

test('no anchor lies above the entropy quantile, which at most the share of the pixels is below', () => {
  fc.assert(
    fc.property(seeds, fc.integer({ min: 2, max: 80 }), shares, (seed, pixels, anchorShare) =>
      tidy(() => {
        const p = probabilities(pixels, 5, seed);
        const rule = { anchorSelection: 'global-entropy' as const, anchorShare, anchorThreshold: 0 };
        const anchor = selectAnchors(p, rule).any(0).tolist() as boolean[];
        const h = matrix(p).map((row) => -row.reduce((sum, x) => sum + x * Math.log(x), 0));
        const [inside, outside] = [true, false].map((yes) => h.filter((_, i) => anchor[i] === yes));
        expect(Math.max(...inside!)).toBeLessThanOrEqual(Math.min(...outside!, Number.POSITIVE_INFINITY));
        expect(inside!.length).toBe(Math.max(1, Math.floor(anchorShare * pixels)));
      }),
    ),
    { numRuns: 40 },
  );
});

test('eta goes linearly from its start to its end, and stays where no end is given', () => {
  const settings = contrastSettings({ ...tinyContrast, anchorShare: 0.2, anchorShareEnd: 0.8 });
  expect([0, 0.5, 1].map((progress) => anchorShareAt(settings, progress))).toEqual([0.2, 0.5, 0.8]);
  const fixed = contrastSettings({ ...tinyContrast, anchorShare: 0.2, anchorShareEnd: undefined });
  expect([0, 0.3, 1].map((progress) => anchorShareAt(fixed, progress))).toEqual([0.2, 0.2, 0.2]);
});
