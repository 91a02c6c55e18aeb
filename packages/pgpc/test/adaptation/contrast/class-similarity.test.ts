// Negatives drawn by class similarity (ReCo): how often each class and each row comes.

import { Generator, ones, type Tensor, tensor, tidy } from '@pgpc/torch';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MemoryBank } from '../../../src/adaptation/contrast/memory-bank.js';
import { similarityWeights } from '../../../src/adaptation/contrast/negatives.js';
import { Rng } from '../../../src/random.js';
import { difference, dot, int64, matrix, unitRows } from '../../support/method.js';

const C = 4;
const seeds = fc.integer({ min: 0, max: 1e6 });

/** A bank whose rows tell their place, and the class of each. @param owners of each class's rows, in order. */
function bankOf(owners: readonly (readonly number[])[], capacity: number) {
  const padded = owners.map((own) => Array.from({ length: capacity }, (_, i) => own[i] ?? 0));
  const valid = owners.map((own) => Array.from({ length: capacity }, (_, i) => i < own.length));
  const bank = new MemoryBank(owners.length, capacity, 1);
  const places = tidy(() => tensor(padded.map((own) => own.map((_, i) => [i]))));
  bank.enqueue(
    places,
    tidy(() => tensor(valid)),
  );
  return { bank, owner: tidy(() => int64(padded.flat(), [owners.length, capacity])) };
}

/** exp(z_c+ . z_k+ / tau) over the sum of the classes that have rows, shared by the rows of k. */
function slowWeights(prototypes: Tensor, owners: readonly (readonly number[])[], tau: number): number[][] {
  const z = matrix(prototypes);
  return owners.map((own, c) => {
    const classes = [...new Set(own)];
    const likely = (k: number) => Math.exp(dot(z[c]!, z[k]!) / tau);
    const all = classes.reduce((sum, k) => sum + likely(k), 0);
    return own.map((k) => likely(k) / all / own.filter((other) => other === k).length);
  });
}

describe('similarityWeights', () => {
  test('equal loops over classes and rows, 0 for what was not written', () => {
    fc.assert(
      fc.property(seeds, fc.double({ min: 0.05, max: 2, noNaN: true }), (seed, tau) =>
        tidy(() => {
          const rng = new Rng(seed, 'rows');
          const owners = Array.from({ length: C }, () =>
            Array.from({ length: rng.below(8) }, () => rng.below(C)),
          );
          const prototypes = unitRows([C, 5], seed);
          // A class without a prototype.
          prototypes.select(0, rng.below(C)).zero_();
          const { bank, owner } = bankOf(owners, 7);
          const weights = matrix(similarityWeights(prototypes, owner, bank.written(), tau));
          for (const [c, slow] of slowWeights(prototypes, owners, tau).entries()) {
            const padded = Array.from({ length: 7 }, (_, i) => slow[i] ?? 0);
            expect(difference(weights[c]!, padded)).toBeLessThan(1e-5);
          }
        }),
      ),
      { numRuns: 60 },
    );
  });

  test('stay finite where exp would overflow: the most similar class takes all', () => {
    tidy(() => {
      // Class 1 is nearer to 0 than 2 is; 3, opposite to it, is alone among the rows of class 3.
      const prototypes = tensor([
        [1, 0],
        [0.8, 0.6],
        [0.6, 0.8],
        [-1, 0],
      ]);
      const { bank, owner } = bankOf([[1, 2, 1, 2], [0, 2], [], [0, 0]], 4);
      const weights = matrix(similarityWeights(prototypes, owner, bank.written(), 1e-3));
      expect(difference(weights[0]!, [0.5, 0, 0.5, 0])).toBeLessThan(1e-6);
      expect(difference(weights[1]!, [0, 1, 0, 0])).toBeLessThan(1e-6);
      expect(weights[2]).toEqual([0, 0, 0, 0]);
      expect(difference(weights[3]!, [0.5, 0.5, 0, 0])).toBeLessThan(1e-6);
    });
  });
});

describe('draws with weights', () => {
  const DRAWS = 20_000;
  /** Five standard deviations of a share of the draws. */
  const spread = (p: number) => 5 * Math.sqrt((p * (1 - p)) / DRAWS);

  test('classes come as exp(z_c+ . z_k+ / tau) says, whatever the number of their rows', () => {
    tidy(() => {
      using generator = new Generator(11);
      const tau = 0.5;
      const prototypes = unitRows([C, 3], 4);
      const z = matrix(prototypes);
      const rows = (...counts: number[]) => counts.flatMap((n, k) => Array<number>(n).fill(k));
      // The rows of class 0 lie in another order than by class.
      const owners = [rows(0, 1, 30, 4).toReversed(), rows(12, 0, 1, 2), rows(3, 3, 0, 0), rows(0, 0, 0, 0)];
      const { bank, owner } = bankOf(owners, 40);
      const weights = similarityWeights(prototypes, owner, bank.written(), tau);
      const slots = matrix(bank.drawSlots(DRAWS, generator, weights));
      for (const [c, own] of owners.entries()) {
        const likely = [0, 1, 2, 3].map((k) => (own.includes(k) ? Math.exp(dot(z[c]!, z[k]!) / tau) : 0));
        const all = likely.reduce((sum, x) => sum + x, 0);
        if (own.length === 0) {
          expect(new Set(slots[c])).toEqual(new Set([0]));
          continue;
        }
        for (const [k, x] of likely.entries()) {
          const drawn = slots[c]!.filter((slot) => own[slot] === k).length / DRAWS;
          expect(Math.abs(drawn - x / all), `class ${k} for ${c}`).toBeLessThanOrEqual(spread(x / all));
        }
        // And each row of a class as often as the others.
        for (const [slot, k] of own.entries()) {
          const p = likely[k]! / all / own.filter((other) => other === k).length;
          const drawn = slots[c]!.filter((each) => each === slot).length / DRAWS;
          expect(Math.abs(drawn - p), `row ${slot} for ${c}`).toBeLessThanOrEqual(spread(p));
        }
      }
    });
  });

  test('give rows of weight 0 never, and rows beyond the written ones neither', () => {
    tidy(() => {
      using generator = new Generator(5);
      using bank = new MemoryBank(1, 6, 1);
      bank.enqueue(tensor([[[1], [2], [3], [4]]]), ones([1, 4], { dtype: 'bool' }));
      const drawn = bank
        .draw(DRAWS, generator, tensor([[0, 3, 0, 1, 7, 7]]))
        .flatten()
        .tolist() as number[];
      expect(new Set(drawn)).toEqual(new Set([2, 4]));
      const share = drawn.filter((value) => value === 2).length / DRAWS;
      expect(Math.abs(share - 3 / 4)).toBeLessThan(spread(3 / 4));
    });
  });
});
