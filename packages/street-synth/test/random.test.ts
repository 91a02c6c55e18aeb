// Random numbers: ranges and weights.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../src/random.js';

describe('random numbers', () => {
  it('stay in their ranges and reach both ends', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer({ min: -50, max: 50 }),
        fc.integer({ min: 0, max: 6 }),
        (seed, low, span) => {
          const random = new Random(seed);
          const drawn = new Set(Array.from({ length: 300 }, () => random.int(low, low + span)));
          expect([...drawn].sort((a, b) => a - b)).toEqual(
            Array.from({ length: span + 1 }, (_, i) => low + i),
          );
          const real = random.range(low, low + 0.5);
          expect(real >= low && real < low + 0.5).toBe(true);
        },
      ),
    );
  });

  it('follow the weights', () => {
    const random = new Random('weights');
    const count = { a: 0, b: 0, never: 0 };
    for (let i = 0; i < 4000; i++) count[random.weighted({ a: 3, b: 1, never: 0 })]++;
    expect(count.never).toBe(0);
    // Three standard deviations of a binomial with p = 3/4 are 82.
    expect(Math.abs(count.a - 3000)).toBeLessThan(83);
  });
});
