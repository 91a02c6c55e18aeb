// The list of the present anchors, which the CPU computes with, against the list of all places, a GPU's.

import { Generator, grad, randint, type Tensor, tensor, tidy } from '@pgpc/torch';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AnchorList } from '../../../src/adaptation/contrast/anchor-list.js';
import {
  infoNceOfScores,
  otherClassScores,
  ownScores,
  positiveScores,
} from '../../../src/adaptation/contrast/info-nce.js';
import { Rng } from '../../../src/random.js';
import { difference, unitRows } from '../../support/method.js';

interface Sizes {
  seed: number;
  classes: number;
  m: number;
  n: number;
  /** Of the places that have an anchor. */
  share: number;
}

const sizes: fc.Arbitrary<Sizes> = fc.record({
  seed: fc.integer({ min: 0, max: 1e6 }),
  classes: fc.integer({ min: 1, max: 5 }),
  m: fc.integer({ min: 1, max: 6 }),
  n: fc.integer({ min: 1, max: 5 }),
  share: fc.constantFrom(0, 0.1, 0.5, 1),
});

const D = 4;

function randomValid({ seed, classes, m, share }: Sizes): boolean[][] {
  const rng = new Rng(seed, 'valid');
  return Array.from({ length: classes }, () => Array.from({ length: m }, () => rng.next() < share));
}

const unit = (shape: number[], seed: number) => unitRows(shape, seed, 'float64');

/** The ways to positive and negative products, of listed features z (A, D). */
const variants: Record<string, (z: Tensor, list: AnchorList, sizes: Sizes) => [Tensor, Tensor]> = {
  'prototypes and shared negatives': (z, list, { seed, classes, n }) => [
    positiveScores(z, unit([classes, D], seed + 1), list),
    list.products(z, unit([classes, n, D], seed + 2)),
  ],
  'a positive and negatives for each anchor': (z, list, { seed, classes, m, n }) => {
    using generator = new Generator(seed);
    const slots = randint(0, 7, [classes, m, n], { generator });
    return [
      positiveScores(z, unit([classes, m, D], seed + 1), list),
      ownScores(z, unit([classes, 7, D], seed + 2), slots, list),
    ];
  },
  'prototypes alone': (z, list, { seed, classes }) => {
    const prototypes = unit([classes, D], seed + 1);
    const present = tensor(Array.from({ length: classes }, (_, c) => c % 3 !== 1));
    return [positiveScores(z, prototypes, list), otherClassScores(z, prototypes, present, list)];
  },
};

describe('AnchorList', () => {
  test('lists what stands at the present anchors, class by class', () => {
    tidy(() => {
      const valid = tensor([
        [true, false, true],
        [false, false, false],
        [false, true, false],
      ]);
      const grid = tensor([
        [10, 11, 12],
        [20, 21, 22],
        [30, 31, 32],
      ]);
      const there = new AnchorList(valid);
      expect(there.rows(grid).tolist()).toEqual([10, 12, 31]);
      expect(there.ofClass(tensor([1, 2, 3])).tolist()).toEqual([1, 1, 3]);
      const all = new AnchorList(valid, true);
      expect(all.rows(grid).tolist()).toEqual([10, 11, 12, 20, 21, 22, 30, 31, 32]);
      expect(all.ofClass(tensor([1, 2, 3])).tolist()).toEqual([1, 1, 1, 2, 2, 2, 3, 3, 3]);
    });
  });

  test.each(Object.entries(variants))('%s: both lists give the same loss and gradient', (_, scoresOf) => {
    fc.assert(
      fc.property(sizes, (given) =>
        tidy(() => {
          const valid = tensor(randomValid(given));
          const anchors = unit([given.classes, given.m, D], given.seed).requiresGrad_();
          const learn = (list: AnchorList) => {
            const [positive, negative] = scoresOf(list.rows(anchors), list, given);
            const loss = infoNceOfScores({ positive, negative }, list, valid, 0.3);
            return { loss: loss.item(), gradient: grad(loss, [anchors])[0]!.toArray() };
          };
          const there = learn(new AnchorList(valid));
          const all = learn(new AnchorList(valid, true));
          expect(there.loss).toBeCloseTo(all.loss, 12);
          expect(difference(there.gradient, all.gradient)).toBeLessThan(1e-12);
          if (given.share === 0) expect(there.loss).toBe(0);
        }),
      ),
      { numRuns: 40 },
    );
  });
});
