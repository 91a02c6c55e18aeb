// Pixel contrast, part by part, against loops over pixels and classes in plain JavaScript.

import {
  Generator,
  grad,
  keep,
  liveTensors,
  noGrad,
  ones,
  ops,
  type Tensor,
  tensor,
  tidy,
} from '@pgpc/torch';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { anchorCandidates, entropyThreshold } from '../../../src/adaptation/contrast/anchors.js';
import {
  PixelContrast,
  type PixelView,
  type TeacherView,
} from '../../../src/adaptation/contrast/contrast.js';
import { infoNce } from '../../../src/adaptation/contrast/info-nce.js';
import { MemoryBank } from '../../../src/adaptation/contrast/memory-bank.js';
import {
  mostLikelyClasses,
  sourceNegatives,
  targetNegatives,
} from '../../../src/adaptation/contrast/negatives.js';
import { classCentres } from '../../../src/adaptation/contrast/positives.js';
import {
  fusedStages,
  normalizeRows,
  ProjectionHead,
} from '../../../src/adaptation/contrast/projection-head.js';
import { sampleCandidates } from '../../../src/adaptation/contrast/sampling.js';
import { projectionNorms } from '../../../src/config/contrast.js';
import { betweenMargins, entropy, pixelLabels, pixelRows, pureLabels } from '../../../src/pixels.js';
import { Rng } from '../../../src/random.js';
import {
  difference,
  dot,
  int64,
  matrix,
  mean,
  normal,
  randomLabels,
  slowBilinear,
  sortedRows,
  tinyContrast,
  unitRows,
} from '../../support/method.js';

const seeds = fc.integer({ min: 0, max: 1e6 });
const runs = (numRuns: number) => ({ numRuns });

/** A leaf that gradients are computed for. */
const leaf = (t: Tensor) => t.detach().clone().requiresGrad_();

function probabilities(pixels: number, classes: number, seed: number): Tensor {
  return tidy(() => normal([pixels, classes], seed).mul(2).softmax(1));
}

function transpose(rows: readonly (readonly boolean[])[]): boolean[][] {
  return rows[0]!.map((_, c) => rows.map((row) => row[c]!));
}

const bools = (t: Tensor) => t.tolist() as boolean[][];

/** Eq 5 as it is written: a sum over classes, anchors and negatives. */
function slowInfoNce(
  anchors: number[][][],
  valid: boolean[][],
  positive: (c: number, m: number) => number[],
  negatives: number[][][],
  tau: number,
): number {
  const perClass = anchors.flatMap((rows, c) => {
    const losses = rows.flatMap((z, m) => {
      if (!valid[c]![m]) return [];
      const near = Math.exp(dot(z, positive(c, m)) / tau);
      const far = negatives[c]!.reduce((sum, n) => sum + Math.exp(dot(z, n) / tau), 0);
      return [-Math.log(near / (near + far))];
    });
    return losses.length > 0 ? [mean(losses)] : [];
  });
  return perClass.length > 0 ? mean(perClass) : 0;
}

describe('infoNce (eq 5)', () => {
  const cases = fc.record({
    seed: seeds,
    classes: fc.integer({ min: 1, max: 4 }),
    m: fc.integer({ min: 1, max: 4 }),
    n: fc.integer({ min: 1, max: 5 }),
    d: fc.integer({ min: 1, max: 4 }),
    tau: fc.double({ min: 0.1, max: 2, noNaN: true }),
    perAnchor: fc.boolean(),
  });

  interface Sizes {
    seed: number;
    classes: number;
    m: number;
    n: number;
    d: number;
    perAnchor: boolean;
  }

  function build({ seed, classes, m, n, d, perAnchor }: Sizes) {
    const rng = new Rng(seed, 'valid');
    const valid = Array.from({ length: classes }, () => Array.from({ length: m }, () => rng.next() < 0.6));
    const anchors = unitRows([classes, m, d], seed, 'float64');
    const positives = unitRows(perAnchor ? [classes, m, d] : [classes, d], seed + 1, 'float64');
    const negatives = unitRows([classes, n, d], seed + 2, 'float64');
    return { valid, anchors, positives, negatives };
  }

  test('value and gradient equal the sum over anchors and negatives', () => {
    fc.assert(
      fc.property(cases, ({ tau, ...sizes }) =>
        tidy(() => {
          const { valid, anchors, positives, negatives } = build(sizes);
          anchors.requiresGrad_();
          const loss = infoNce(anchors, tensor(valid), positives, negatives, tau);
          const z = anchors.tolist() as number[][][];
          const p = positives.tolist();
          const n = negatives.tolist() as number[][][];
          const positive = (c: number, m: number) =>
            sizes.perAnchor ? (p as number[][][])[c]![m]! : (p as number[][])[c]!;
          const slow = () => slowInfoNce(z, valid, positive, n, tau);
          expect(loss.item()).toBeCloseTo(slow(), 10);

          const gradient = grad(loss, [anchors])[0]!.tolist() as number[][][];
          const eps = 1e-6;
          for (const [c, rows] of z.entries()) {
            for (const [m, row] of rows.entries()) {
              for (const [d, x] of row.entries()) {
                row[d] = x + eps;
                const above = slow();
                row[d] = x - eps;
                const below = slow();
                row[d] = x;
                expect(gradient[c]![m]![d]).toBeCloseTo((above - below) / (2 * eps), 6);
              }
            }
          }
        }),
      ),
      runs(40),
    );
  });

  test('on separable features it is log(1 + N exp(-1 / tau)), on collapsed ones log(1 + N)', () => {
    tidy(() => {
      const [m, n, tau] = [3, 7, 0.2];
      const axis = (row: number[], times: number) =>
        tensor([Array(times).fill(row), Array(times).fill(row.toReversed())]);
      const anchors = axis([1, 0], m);
      const positives = tensor([
        [1, 0],
        [0, 1],
      ]);
      const valid = ones([2, m], { dtype: 'bool' });
      const apart = infoNce(anchors, valid, positives, axis([0, 1], n), tau);
      expect(apart.item()).toBeCloseTo(Math.log(1 + n * Math.exp(-1 / tau)), 6);
      const alike = infoNce(anchors, valid, positives, axis([1, 0], n), tau);
      expect(alike.item()).toBeCloseTo(Math.log(1 + n), 6);
      // Opposite negatives at a low temperature: nothing is left to learn.
      expect(infoNce(anchors, valid, positives, axis([-1, 0], n), 0.05).item()).toBeLessThan(1e-6);
    });
  });

  test('is 0, with a gradient of 0, without anchors', () => {
    tidy(() => {
      const anchors = leaf(unitRows([2, 3, 4], 1));
      const none = ones([2, 3], { dtype: 'bool' }).logicalNot();
      const loss = infoNce(anchors, none, unitRows([2, 4], 2), unitRows([2, 5, 4], 3), 0.5);
      expect(loss.item()).toBe(0);
      expect(
        grad(loss, [anchors])[0]!
          .toArray()
          .every((x) => x === 0),
      ).toBe(true);
    });
  });

  test('stays finite where exp would overflow', () => {
    tidy(() => {
      const z = unitRows([1, 1, 4], 1);
      const loss = infoNce(z, ones([1, 1], { dtype: 'bool' }), z.select(1, 0).neg(), z, 1e-3);
      expect(loss.item()).toBeCloseTo(2000, 1);
    });
  });
});

describe('anchors (eq 8)', () => {
  test('entropy is -sum p log p, and 0 for a certain pixel', () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 2, max: 8 }), (seed, classes) =>
        tidy(() => {
          const p = probabilities(6, classes, seed);
          const slow = matrix(p).map((row) => -row.reduce((sum, x) => sum + x * Math.log(x), 0));
          expect(difference(entropy(p).toArray(), slow)).toBeLessThan(1e-5);
        }),
      ),
      runs(20),
    );
    tidy(() => {
      const certain = tensor([
        [0, 1, 0],
        [0.5, 0, 0.5],
      ]);
      expect(difference(entropy(certain).toArray(), [0, Math.LN2])).toBeLessThan(1e-6);
    });
  });

  test('the threshold is the quantile over all pixels', () => {
    fc.assert(
      fc.property(
        seeds,
        fc.integer({ min: 1, max: 60 }),
        fc.double({ min: 0.001, max: 1, noNaN: true }),
        (seed, n, share) =>
          tidy(() => {
            const h = normal([n], seed);
            const sorted = Array.from(h.toArray() as Float32Array).sort((a, b) => a - b);
            const rank = Math.max(1, Math.floor(share * n));
            expect(entropyThreshold(h, share).item()).toBe(sorted[rank - 1]);
          }),
      ),
      runs(40),
    );
  });

  test('candidates are the most certain pixels of all, each for its own class alone', () => {
    fc.assert(
      fc.property(
        seeds,
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 2, max: 6 }),
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        (seed, pixels, classes, share) =>
          tidy(() => {
            const p = probabilities(pixels, classes, seed);
            const h = Array.from(entropy(p).toArray() as Float32Array);
            const gamma = [...h].sort((a, b) => a - b)[Math.max(1, Math.floor(share * pixels)) - 1]!;
            const slow = matrix(p).map((row, i) => row.map((x) => x === Math.max(...row) && h[i]! <= gamma));
            expect(transpose(bools(anchorCandidates(p, share)))).toEqual(slow);
          }),
      ),
      runs(40),
    );
  });
});

describe('positives (eq 9)', () => {
  test('centres are the mean features of the classes in the label', () => {
    fc.assert(
      fc.property(
        seeds,
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 6 }),
        (seed, pixels, classes) =>
          tidy(() => {
            const label = randomLabels(pixels, classes, seed);
            const z = unitRows([pixels, 3], seed);
            const rows = matrix(z);
            const { centre, present } = classCentres(z, int64(label), classes);
            for (let c = 0; c < classes; c++) {
              const own = rows.filter((_, i) => label[i] === c);
              const slow = [0, 1, 2].map((d) => (own.length > 0 ? mean(own.map((row) => row[d]!)) : 0));
              expect(difference(matrix(centre)[c]!, slow)).toBeLessThan(1e-6);
              expect((present.tolist() as boolean[])[c]).toBe(own.length > 0);
            }
          }),
      ),
      runs(40),
    );
  });
});

describe('negatives (eq 10, 11)', () => {
  test('a class is among the most likely if fewer than r are ahead of it, as all are if r is above their number', () => {
    tidy(() => {
      const p = probabilities(50, 7, 3);
      for (const r of [1, 4, 7, 9]) {
        const slow = matrix(p).map((row) => row.map((x) => row.filter((y) => y > x).length < r));
        expect(transpose(bools(mostLikelyClasses(p, r)))).toEqual(slow);
      }
      // Equally likely ones are not told apart: a pixel that knows nothing is nobody's negative.
      expect(bools(mostLikelyClasses(ones([1, 3]), 1))).toEqual([[true], [true], [true]]);
    });
  });

  test('no target pixel is a negative of its r most likely classes, and each is one of all others', () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 2, max: 8 }), fc.integer({ min: 1, max: 8 }), (seed, classes, r) =>
        tidy(() => {
          const p = probabilities(30, classes, seed);
          const slow = matrix(p).map((row) => row.map((x) => row.filter((y) => y > x).length >= r));
          expect(transpose(bools(targetNegatives(p, r)))).toEqual(slow);
        }),
      ),
      runs(40),
    );
  });

  test('a source pixel is a negative of every class but its own; one without a class, of none', () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 1, max: 8 }), (seed, classes) =>
        tidy(() => {
          const label = randomLabels(40, classes, seed);
          const slow = label.map((own) =>
            Array.from({ length: classes }, (_, c) => own !== c && own !== 255),
          );
          expect(transpose(bools(sourceNegatives(int64(label), classes)))).toEqual(slow);
        }),
      ),
      runs(40),
    );
  });
});

describe('sampleCandidates', () => {
  test('draws candidates only, none twice, and all of them where there are fewer than n', () => {
    fc.assert(
      fc.property(
        seeds,
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 40 }),
        (seed, pixels, n) =>
          tidy(() => {
            const rng = new Rng(seed, 'candidates');
            const candidates = Array.from({ length: 4 }, (_, c) =>
              Array.from({ length: pixels }, () => rng.next() < c / 3),
            );
            using generator = new Generator(seed);
            const sample = sampleCandidates(tensor(candidates), n, generator);
            const index = matrix(sample.index);
            const valid = bools(sample.valid);
            expect(index[0]!.length).toBe(Math.min(n, pixels));
            for (const [c, row] of candidates.entries()) {
              const chosen = index[c]!.filter((_, i) => valid[c]![i]);
              expect(chosen.length).toBe(Math.min(n, row.filter(Boolean).length));
              expect(new Set(chosen).size).toBe(chosen.length);
              expect(chosen.every((i) => row[i])).toBe(true);
              // The valid ones come first, which MemoryBank.enqueue relies on.
              expect(valid[c]!.toSorted((a, b) => Number(b) - Number(a))).toEqual(valid[c]);
            }
          }),
      ),
      runs(60),
    );
  });

  test('is uniform over the candidates', () => {
    tidy(() => {
      const draws = 2000;
      const candidates = Array.from({ length: 12 }, (_, i) => i % 3 !== 0);
      using generator = new Generator(5);
      const { index } = sampleCandidates(tensor(Array(draws).fill(candidates)), 3, generator);
      const counts = Array<number>(12).fill(0);
      for (const i of matrix(index).flat()) counts[i]!++;
      // Each of 8 candidates is among 3 drawn with probability 3/8; five standard deviations are allowed.
      const spread = 5 * Math.sqrt(draws * (3 / 8) * (5 / 8));
      for (const [i, n] of counts.entries()) {
        expect(Math.abs(n - (candidates[i] ? (draws * 3) / 8 : 0))).toBeLessThan(spread);
      }
    });
  });
});

describe('MemoryBank', () => {
  const CLASSES = 3;

  /** The rows of one class, the oldest first. */
  function queue(bank: MemoryBank, c: number): number[][] {
    const ring = (bank.rows.tolist() as number[][][])[c]!;
    const filled = (bank.filled.tolist() as number[])[c]!;
    const next = (bank.next.tolist() as number[])[c]!;
    const rows = ring.slice(0, filled);
    return filled < bank.capacity ? rows : [...rows.slice(next), ...rows.slice(0, next)];
  }

  test('is a first-in-first-out queue a class, over many random enqueues', () => {
    const enqueues = fc.array(fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 3, maxLength: 3 }), {
      minLength: 1,
      maxLength: 12,
    });
    fc.assert(
      fc.property(enqueues, fc.integer({ min: 4, max: 7 }), seeds, (counts, capacity, seed) => {
        using bank = new MemoryBank(CLASSES, capacity, 2);
        using generator = new Generator(seed);
        const slow: number[][][] = Array.from({ length: CLASSES }, () => []);
        tidy(() => {
          for (const [step, count] of counts.entries()) {
            const rows = normal([CLASSES, 4, 2], seed + step);
            bank.enqueue(rows, tensor(count.map((n) => [0, 1, 2, 3].map((i) => i < n))));
            for (const [c, values] of (rows.tolist() as number[][][]).entries()) {
              slow[c] = [...slow[c]!, ...values.slice(0, count[c])].slice(-capacity);
            }
          }
          const drawn = bank.draw(200, generator).tolist() as number[][][];
          const means = matrix(bank.mean());
          const newest = bank.newest(5).tolist() as number[][][];
          for (const [c, rows] of slow.entries()) {
            expect(queue(bank, c)).toEqual(rows);
            expect((bank.filled.tolist() as number[])[c]).toBe(rows.length);
            const last = rows.toReversed().slice(0, 5);
            const none = Array<number[]>(Math.min(5, capacity) - last.length).fill([0, 0]);
            expect(newest[c]).toEqual([...last, ...none]);
            // Every row that was written is drawn (each is missed with probability below 1e-13), no other is.
            const expected = rows.length > 0 ? rows : [[0, 0]];
            expect(new Set(drawn[c]!.map(String))).toEqual(new Set(expected.map(String)));
            const slowMean = [0, 1].map((d) => mean(expected.map((row) => row[d]!)));
            expect(difference(means[c]!, slowMean)).toBeLessThan(1e-6);
          }
        });
      }),
      runs(50),
    );
  });

  test('draws uniformly', () => {
    using bank = new MemoryBank(1, 10, 1);
    using generator = new Generator(3);
    tidy(() => {
      bank.enqueue(tensor([[[1], [2], [3], [4]]]), ones([1, 4], { dtype: 'bool' }));
      const drawn = Array.from(bank.draw(4000, generator).toArray() as Float32Array);
      for (const value of [1, 2, 3, 4]) {
        const n = drawn.filter((x) => x === value).length;
        expect(Math.abs(n - 1000)).toBeLessThan(5 * Math.sqrt(4000 * 0.25 * 0.75));
      }
    });
  });

  test('takes as many rows at once as it holds, and refuses more', () => {
    using bank = new MemoryBank(2, 3, 2);
    tidy(() => {
      bank.enqueue(normal([2, 3, 2], 1), ones([2, 3], { dtype: 'bool' }));
      const rows = normal([2, 3, 2], 2);
      bank.enqueue(rows, ones([2, 3], { dtype: 'bool' }));
      expect([queue(bank, 0), queue(bank, 1)]).toEqual(rows.tolist());
      expect(() => bank.enqueue(normal([2, 4, 2], 1), ones([2, 4], { dtype: 'bool' }))).toThrow(
        '4 rows at once do not fit a memory bank of 3 a class',
      );
    });
  });

  test('resumes from its state dict', () => {
    tidy(() => {
      const fill = (bank: MemoryBank, seed: number) =>
        bank.enqueue(
          normal([2, 2, 2], seed),
          tensor([
            [true, true],
            [true, false],
          ]),
        );
      const a = new MemoryBank(2, 3, 2);
      fill(a, 1);
      fill(a, 2);
      const b = new MemoryBank(2, 3, 2);
      b.loadStateDict(a.stateDict());
      fill(a, 3);
      fill(b, 3);
      expect([queue(b, 0), queue(b, 1)]).toEqual([queue(a, 0), queue(a, 1)]);
    });
  });
});

describe('ProjectionHead', () => {
  /** (x - mean) / sqrt(variance + 1e-5), scaled and shifted. */
  function slowLayerNorm(x: readonly number[], weight: readonly number[], bias: readonly number[]): number[] {
    const centre = mean(x);
    const deviation = Math.sqrt(mean(x.map((value) => (value - centre) ** 2)) + 1e-5);
    return x.map((value, i) => ((value - centre) / deviation) * weight[i]! + bias[i]!);
  }

  /** Linear layers with ReLU between, a norm before each ReLU or none, then division by the length. */
  function slowHead(head: ProjectionHead, pixels: number[][]): number[][] {
    const layers = head.layers.items.map(({ weight, bias }) => ({
      weight: matrix(weight),
      bias: bias!.tolist() as number[],
    }));
    const norms = head.norms.items.map(({ weight, bias }) =>
      [weight, bias].map((x) => x.tolist() as number[]),
    );
    return pixels.map((pixel) => {
      const h = layers.reduce((x, { weight, bias }, i) => {
        const [scale, shift] = norms[i - 1] ?? [];
        const normal = scale && shift ? slowLayerNorm(x, scale, shift) : x;
        const input = i === 0 ? x : normal.map((value) => Math.max(0, value));
        return weight.map((row, j) => dot(row, input) + bias[j]!);
      }, pixel);
      const length = Math.sqrt(dot(h, h));
      return h.map((x) => x / length);
    });
  }

  test.each([1, 2, 3].flatMap((depth) => projectionNorms.map((norm) => [depth, norm] as const)))(
    'of depth %i with norm %s equals loops, has unit rows, and its gradient equals differences',
    (depth, norm) => {
      tidy(() => {
        using generator = new Generator(depth);
        const head = new ProjectionHead(4, { width: 3, depth, norm }, generator).to({ dtype: 'float64' });
        expect(head.norms.items).toHaveLength(norm === 'layer' ? depth - 1 : 0);
        for (const [i, { weight, bias }] of head.norms.items.entries()) {
          noGrad(() => {
            weight.copy_(normal([3], 20 + i, 'float64'));
            bias.copy_(normal([3], 30 + i, 'float64'));
          });
        }
        const x = leaf(normal([5, 4], 9, 'float64'));
        const z = head.call(x);
        expect(difference(matrix(z).flat(), slowHead(head, matrix(x)).flat())).toBeLessThan(1e-12);
        for (const row of matrix(z)) expect(dot(row, row)).toBeCloseTo(1, 12);

        const weights = matrix(normal([5, 3], 10, 'float64')).flat();
        const parameters = head.parameters();
        const gradients = grad(z.mul(normal([5, 3], 10, 'float64')).sum(), [x, ...parameters]);
        const slowLoss = () => dot(slowHead(head, matrix(x)).flat(), weights);
        for (const [i, input] of [x, ...parameters].entries()) {
          const analytic = gradients[i]!.toArray();
          const values = input.toSharedArray() as Float64Array;
          for (const [j, value] of values.entries()) {
            values[j] = value + 1e-6;
            const above = slowLoss();
            values[j] = value - 1e-6;
            const below = slowLoss();
            values[j] = value;
            expect(Number(analytic[j])).toBeCloseTo((above - below) / 2e-6, 6);
          }
        }
      });
    },
  );

  test('a row of zeros stays one, with a finite gradient', () => {
    tidy(() => {
      const x = tensor(
        [
          [0, 0],
          [3, 4],
        ],
        { requiresGrad: true },
      );
      const z = normalizeRows(x);
      expect(difference(matrix(z).flat(), [0, 0, 0.6, 0.8])).toBeLessThan(1e-7);
      expect(Array.from(grad(z.sum(), [x])[0]!.toArray(), Number).every(Number.isFinite)).toBe(true);
    });
  });
});

describe('pixels at the decoder resolution', () => {
  test('rows are the pixels in reading order, image by image', () => {
    tidy(() => {
      const map = normal([2, 3, 2, 4], 1);
      const m = map.tolist() as number[][][][];
      const slow = [0, 1].flatMap((n) =>
        [0, 1].flatMap((y) => [0, 1, 2, 3].map((x) => [0, 1, 2].map((d) => m[n]![d]![y]![x]!))),
      );
      expect(matrix(pixelRows(map))).toEqual(slow);
    });
  });

  test('labels and masks are resized by nearest neighbour', () => {
    const sizes = fc.integer({ min: 1, max: 9 });
    fc.assert(
      fc.property(fc.tuple(sizes, sizes, sizes, sizes), seeds, ([h, w, toH, toW], seed) =>
        tidy(() => {
          const label = randomLabels(2 * h * w, 5, seed);
          const at = (n: number, y: number, x: number) =>
            label[(n * h + Math.floor((y * h) / toH)) * w + Math.floor((x * w) / toW)]!;
          const slow = Array.from({ length: 2 * toH * toW }, (_, i) =>
            at(Math.floor(i / (toH * toW)), Math.floor(i / toW) % toH, i % toW),
          );
          const resized = pixelLabels(int64(label, [2, h, w]), [toH, toW]);
          expect(resized.dtype).toBe('int64');
          expect(resized.tolist()).toEqual(slow);
          const mask = pixelLabels(int64(label, [2, h, w]).gt(2), [toH, toW]);
          expect(mask.tolist()).toEqual(slow.map((value) => value > 2));
        }),
      ),
      runs(40),
    );
  });
});

describe('the labels of features', () => {
  /** How many pixels of each class, 0 .. 4, lie under feature (y, x) of h by w, and how many pixels there are. */
  function under(map: number[][], [h, w]: readonly [number, number], y: number, x: number) {
    const [height, width] = [map.length, map[0]!.length];
    const rows = map.slice(Math.floor((y * height) / h), Math.ceil(((y + 1) * height) / h));
    const pixels = rows.flatMap((row) =>
      row.slice(Math.floor((x * width) / w), Math.ceil(((x + 1) * width) / w)),
    );
    const counts = [0, 1, 2, 3, 4].map((c) => pixels.filter((label) => label === c).length);
    return { counts, all: pixels.length };
  }

  test('are the class that has the share of the pixels under each, counted one by one', () => {
    const sizes = fc.integer({ min: 1, max: 5 });
    // Shares that no count reaches in float32 but misses in float64.
    const shares = fc.constantFrom(0, 0.3, 0.61, 0.74, 1);
    fc.assert(
      fc.property(
        fc.tuple(sizes, sizes),
        fc.tuple(sizes, sizes),
        fc.boolean(),
        shares,
        seeds,
        ([h, w], [moreH, moreW], whole, minShare, seed) =>
          tidy(() => {
            const [height, width] = whole ? [h * moreH, w * moreW] : [h + moreH, w + moreW];
            // Three labels in four are one class, so that all counts occur.
            const rng = new Rng(seed, 'most');
            const label = randomLabels(2 * height * width, 5, seed).map((c) => (rng.below(4) > 0 ? 2 : c));
            const images = int64(label, [2, height, width]).tolist() as number[][][];
            const found = pureLabels(int64(label, [2, height, width]), [h, w], 5, minShare);
            expect([found.dtype, found.shape]).toEqual(['int64', [2 * h * w]]);
            for (const [i, got] of (found.tolist() as number[]).entries()) {
              const [n, y, x] = [Math.floor(i / (h * w)), Math.floor(i / w) % h, i % w];
              const { counts, all } = under(images[n]!, [h, w], y, x);
              const most = Math.max(...counts);
              // Of classes that are equally many either may be taken.
              const allowed =
                most > 0 && most / all >= minShare
                  ? counts.flatMap((count, c) => (count === most ? [c] : []))
                  : [255];
              expect(allowed).toContain(got);
            }
          }),
      ),
      runs(60),
    );
  });

  test('a share of exactly the least one counts, and no pixel with a class makes none', () => {
    tidy(() => {
      const cell = (own: number, other: number, pixels: number) =>
        Array.from({ length: 16 }, (_, i) => (i < pixels ? own : other));
      const label = [cell(1, 2, 12), cell(1, 2, 11), cell(3, 255, 12), cell(3, 255, 11), cell(255, 255, 0)];
      const map = int64(label.flat(), [5, 4, 4]);
      const pure = (minShare: number) => pureLabels(map, [1, 1], 4, minShare).tolist();
      expect(pure(0.75)).toEqual([1, 255, 3, 255, 255]);
      expect(pure(0)).toEqual([1, 1, 3, 3, 255]);
      expect(pure(1)).toEqual([255, 255, 255, 255, 255]);
    });
  });
});

describe('rows between the margins', () => {
  test('lie under no pixel of a margin, and all that do not are there', () => {
    const margins = fc.integer({ min: 0, max: 40 });
    const cases = fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 9, max: 40 }), margins, margins);
    fc.assert(
      fc.property(cases, ([h, height, ignoreTop, ignoreBottom]) =>
        tidy(() => {
          const rows = Array.from({ length: h }, (_, y) => y);
          // Row y covers the image from y height / h to (y + 1) height / h.
          const inside = rows.filter(
            (y) => y * height >= ignoreTop * h && (y + 1) * height <= (height - ignoreBottom) * h,
          );
          const map = tensor(rows).view([1, 1, h, 1]).expand([2, 3, h, 2]);
          const cut = () => betweenMargins(map, height, { ignoreTop, ignoreBottom });
          if (inside.length === 0) {
            expect(cut).toThrow(RangeError);
            expect(cut).toThrow(
              `margins of ${ignoreTop} and ${ignoreBottom} rows (ignoreTop, ignoreBottom) leave nothing of a crop of ${height}`,
            );
            return;
          }
          expect(cut().shape).toEqual([2, 3, inside.length, 2]);
          expect(cut().select(3, 1).select(1, 2).select(0, 1).tolist()).toEqual(inside);
          // A mask has no channels.
          const mask = betweenMargins(map.select(1, 0), height, { ignoreTop, ignoreBottom });
          expect(mask.select(2, 0).select(0, 0).tolist()).toEqual(inside);
        }),
      ),
      runs(150),
    );
  });
});

describe('contrasted features', () => {
  test("are the decoder's as they are, or the encoder's, and each stage has its part of the first layer", () => {
    const sides = fc.integer({ min: 1, max: 6 });
    fc.assert(
      fc.property(
        fc.tuple(sides, sides),
        fc.array(fc.tuple(sides, sides), { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 3 }),
        fc.constantFrom('none' as const, 'layer' as const),
        seeds,
        ([h, w], sizes, depth, norm, seed) =>
          tidy(() => {
            using generator = new Generator(seed);
            const widths = sizes.map((_, i) => i + 1);
            const options = { width: 3, depth, norm };
            const features = normal([2, 5, h, w], seed, 'float64');
            const stages = sizes.map(([y, x], i) => leaf(normal([2, i + 1, y, x], seed + i + 1, 'float64')));
            const ofDecoder = new ProjectionHead(5, options, generator);
            expect(ofDecoder.input({ features, stages })).toBe(features);

            const head = new ProjectionHead(widths, options, generator).to({ dtype: 'float64' });
            // One head on the stages side by side, whose first layer has the parts' weights side by side.
            const channels = widths.reduce((a, b) => a + b, 0);
            const whole = new ProjectionHead(channels, options, generator).to({ dtype: 'float64' });
            noGrad(() => {
              whole.layers.items[0]!.weight.copy_(
                ops.cat(
                  head.stages.items.map(({ weight }) => weight),
                  1,
                ),
              );
              whole.layers.items[0]!.bias!.copy_(head.stages.items[0]!.bias!);
              for (const [i, { weight, bias }] of head.layers.items.entries()) {
                whole.layers.items[i + 1]!.weight.copy_(weight);
                whole.layers.items[i + 1]!.bias!.copy_(bias!);
              }
            });
            const fast = head.call(pixelRows(head.input({ features, stages })));
            const slow = whole.call(pixelRows(fusedStages(stages, [h, w])));
            expect(difference(fast.toArray(), slow.toArray())).toBeLessThan(1e-9);
            const weights = normal(fast.shape, seed + 9, 'float64');
            const [of, against] = [fast, slow].map((z) => grad(z.mul(weights).sum(), stages));
            for (const [i, gradient] of of!.entries()) {
              expect(difference(gradient!.toArray(), against![i]!.toArray())).toBeLessThan(1e-7);
            }
          }),
      ),
      runs(40),
    );
  });

  test("the encoder's stages are resized and put side by side, with their gradients", () => {
    const sides = fc.integer({ min: 1, max: 6 });
    fc.assert(
      fc.property(
        fc.tuple(sides, sides),
        fc.array(fc.tuple(sides, sides), { minLength: 1, maxLength: 4 }),
        seeds,
        ([h, w], sizes, seed) =>
          tidy(() => {
            const stages = sizes.map(([y, x], i) => leaf(normal([2, i + 1, y, x], seed + i + 1, 'float64')));
            const fused = fusedStages(stages, [h, w]);
            const channels = sizes.reduce((sum, _, i) => sum + i + 1, 0);
            expect(fused.shape).toEqual([2, channels, h, w]);
            const slow = () =>
              [0, 1].flatMap((n) =>
                stages.flatMap((stage) =>
                  (stage.tolist() as number[][][][])[n]!.map((map) => slowBilinear(map, h, w)),
                ),
              );
            expect(difference(fused.toArray(), slow().flat(2))).toBeLessThan(1e-12);

            // The derivative of a resized map by one of its pixels is the resized map of that pixel alone.
            const weights = normal(fused.shape, seed + 9, 'float64');
            const gradients = grad(fused.mul(weights).sum(), stages);
            let channel = 0;
            for (const [i, [y, x]] of sizes.entries()) {
              const gradient = gradients[i]!.tolist() as number[][][][];
              const own = (weights.tolist() as number[][][][])[1]![channel]!;
              for (let p = 0; p < y * x; p++) {
                const [row, column] = [Math.floor(p / x), p % x];
                const alone = Array.from({ length: y }, (_, v) =>
                  Array.from({ length: x }, (_, u) => Number(v === row && u === column)),
                );
                const expected = dot(slowBilinear(alone, h, w).flat(), own.flat());
                expect(gradient[1]![0]![row]![column]).toBeCloseTo(expected, 10);
              }
              channel += i + 1;
            }
          }),
      ),
      runs(30),
    );
  });
});

describe('PixelContrast', () => {
  const [C, CHANNELS, WIDTH] = [4, 3, 5];
  const SIZE = [2, 3] as const;
  const PIXELS = 2 * SIZE[0] * SIZE[1];
  /** So many of everything that no choice is left to chance. */
  const options = {
    ...tinyContrast,
    width: WIDTH,
    anchorShare: 0.6,
    anchors: 2 * PIXELS,
    negatives: 7,
    rank: 2,
    bankCapacity: 3 * PIXELS,
    enqueue: PIXELS,
    prototypeQueue: 2,
    temperature: 0.3,
  };

  function headOf(seed: number): ProjectionHead {
    using generator = new Generator(seed);
    return new ProjectionHead(CHANNELS, { width: WIDTH, depth: 2 }, generator);
  }

  const features = (seed: number) => normal([2, CHANNELS, ...SIZE], seed);
  const viewOf = (seed: number): TeacherView => ({
    features: features(seed),
    logits: normal([2, C, ...SIZE], seed + 1).mul(2),
  });
  /** Logits are looked at for hard negatives alone. */
  const viewOn = (map: Tensor): PixelView => ({ features: map, logits: map });
  const labelOf = (seed: number) => randomLabels(PIXELS, C, seed);
  /** The label map at four times the decoder's resolution. */
  const labelMap = (label: readonly number[]) =>
    int64(label, [2, ...SIZE])
      .repeatInterleave(4, 1)
      .repeatInterleave(4, 2);

  const centresOf = ({ positives }: PixelContrast) => positives.store.module as MemoryBank;
  const negativesOf = ({ negatives }: PixelContrast) => negatives.store!.module;
  const held = (bank: MemoryBank, c: number) =>
    (bank.rows.tolist() as number[][][])[c]!.slice(0, (bank.filled.tolist() as number[])[c]);

  test('storeSource keeps the centres, and as negatives the pixels of other classes', () => {
    tidy(() => {
      const contrast = new PixelContrast(C, options, 0);
      const head = headOf(1);
      const centres: number[][][] = Array.from({ length: C }, () => []);
      const negatives: number[][][] = Array.from({ length: C }, () => []);
      for (const step of [1, 2, 3]) {
        const label = labelOf(step);
        const map = features(step);
        const z = matrix(head.call(pixelRows(map)));
        contrast.storeSource(viewOn(map), labelMap(label), head);
        for (let c = 0; c < C; c++) {
          const own = z.filter((_, i) => label[i] === c);
          if (own.length > 0) {
            const centre = own[0]!.map((_, d) => mean(own.map((row) => row[d]!)));
            centres[c] = [...centres[c]!, centre].slice(-options.prototypeQueue);
          }
          negatives[c]!.push(...z.filter((_, i) => label[i] !== c && label[i] !== 255));
        }
      }
      const prototypes = matrix(contrast.prototypes());
      for (let c = 0; c < C; c++) {
        expect(sortedRows(held(negativesOf(contrast), c))).toEqual(sortedRows(negatives[c]!));
        const sum = centres[c]![0]!.map((_, d) => mean(centres[c]!.map((row) => row[d]!)));
        const length = Math.sqrt(dot(sum, sum));
        expect(
          difference(
            prototypes[c]!,
            sum.map((x) => x / length),
          ),
        ).toBeLessThan(1e-6);
      }
    });
  });

  test('storeTarget keeps as negatives the pixels for which the class is improbable', () => {
    tidy(() => {
      const contrast = new PixelContrast(C, options, 0);
      const head = headOf(1);
      const view = viewOf(3);
      contrast.storeTarget(view, head);
      const z = matrix(head.call(pixelRows(view.features)));
      const p = matrix(pixelRows(view.logits));
      for (let c = 0; c < C; c++) {
        const slow = z.filter((_, i) => p[i]!.filter((x) => x > p[i]![c]!).length >= options.rank);
        const stored = sortedRows(held(negativesOf(contrast), c));
        expect(stored.length).toBe(slow.length);
        // Sorting decides by the first number alone here, so a last bit that differs changes no order.
        expect(difference(stored.flat(), sortedRows(slow).flat())).toBeLessThan(1e-6);
      }
      expect(centresOf(contrast).filled.tolist()).toEqual([0, 0, 0, 0]);
    });
  });

  test('a step adds no more rows than `enqueue` from each domain', () => {
    tidy(() => {
      const contrast = new PixelContrast(C, { ...options, enqueue: 2 }, 0);
      const head = headOf(1);
      contrast.storeSource(viewOn(features(1)), labelMap(labelOf(1)), head);
      expect(negativesOf(contrast).filled.tolist()).toEqual([2, 2, 2, 2]);
      contrast.storeTarget(viewOf(3), head);
      expect(negativesOf(contrast).filled.tolist()).toEqual([4, 4, 4, 4]);
    });
  });

  /** With one row a class in the bank, drawing negatives is no choice either. */
  function filledBanks(seed: number, classes: readonly number[]) {
    const contrast = new PixelContrast(C, { ...options, bankCapacity: 1 }, seed);
    const valid = tensor([0, 1, 2, 3].map((c) => [classes.includes(c)]));
    centresOf(contrast).enqueue(normal([C, 1, WIDTH], seed + 1), valid);
    negativesOf(contrast).enqueue(unitRows([C, 1, WIDTH], seed + 2), valid);
    return contrast;
  }

  test('the loss is eq 5 over the certain pixels that came from the target', () => {
    fc.assert(
      fc.property(seeds, fc.subarray([0, 1, 2, 3]), (seed, ready) =>
        tidy(() => {
          const contrast = filledBanks(seed, ready);
          const head = headOf(seed);
          const view = viewOf(seed + 3);
          const map = leaf(features(seed + 4));
          const mask = labelOf(seed + 5).map((value) => value === 0 || value === 255);
          const maskMap = labelMap(mask.map(Number)).to('bool');
          const loss = contrast.loss(map, maskMap, view, head);

          const p = matrix(pixelRows(view.logits).softmax(1));
          const h = p.map((row) => -row.reduce((sum, x) => sum + x * Math.log(x), 0));
          const gamma = [...h].sort((a, b) => a - b)[Math.floor(options.anchorShare * PIXELS) - 1]!;
          const z = head.call(pixelRows(map));
          const prototypes = matrix(centresOf(contrast).rows.select(1, 0)).map((row) => {
            const length = Math.sqrt(dot(row, row)) || 1;
            return row.map((x) => x / length);
          });
          const negative = matrix(negativesOf(contrast).rows.select(1, 0));
          const anchorsOf = [0, 1, 2, 3].map((c) =>
            p.flatMap((row, i) =>
              ready.includes(c) && !mask[i] && h[i]! <= gamma && row[c] === Math.max(...row) ? [i] : [],
            ),
          );
          const rows = matrix(z);
          const slow = slowInfoNce(
            anchorsOf.map((own) => own.map((i) => rows[i]!)),
            anchorsOf.map((own) => own.map(() => true)),
            (c) => prototypes[c]!,
            negative.map((row) => Array<number[]>(options.negatives).fill(row)),
            options.temperature,
          );
          expect(loss.item()).toBeCloseTo(slow, 4);

          // The gradient of the composed form, one anchor at a time.
          const C1 = anchorsOf.filter((own) => own.length > 0).length;
          let composed = z.sum().mul(0);
          for (const [c, own] of anchorsOf.entries()) {
            for (const i of own) {
              const near = z.select(0, i).dot(tensor(prototypes[c]!)).div(options.temperature).exp();
              const far = z.select(0, i).dot(tensor(negative[c]!)).div(options.temperature).exp();
              const share = near.div(near.add(far.mul(options.negatives)));
              composed = composed.sub(share.log().div(C1 * own.length));
            }
          }
          const inputs = [map, ...head.parameters()];
          const fast = grad(loss, inputs);
          const slowGradients = grad(composed, inputs);
          for (const [i, gradient] of fast.entries()) {
            expect(difference(gradient!.toArray(), slowGradients[i]!.toArray())).toBeLessThan(1e-4);
          }
        }),
      ),
      runs(25),
    );
  });

  test('gradients reach the anchors alone', () => {
    tidy(() => {
      const contrast = new PixelContrast(C, options, 1);
      centresOf(contrast).enqueue(normal([C, 1, WIDTH], 1), ones([C, 1], { dtype: 'bool' }));
      const [student, teacher] = [headOf(1), headOf(2)];
      const view = viewOf(3);
      view.features = leaf(view.features);
      view.logits = leaf(view.logits);
      const source = leaf(features(4));
      const map = leaf(features(5));
      contrast.storeSource(viewOn(source), labelMap(labelOf(6)), teacher);
      contrast.storeTarget(view, teacher);
      const mask = labelMap(Array(PIXELS).fill(0)).to('bool');
      contrast.loss(map, mask, view, student).backward();
      for (const input of [source, view.features, view.logits, ...teacher.parameters()]) {
        expect(input.grad).toBeNull();
      }
      for (const input of [map, ...student.parameters()]) {
        expect(Array.from(input.grad!.toArray(), Number).some((x) => x !== 0)).toBe(true);
      }
      expect([...contrast.stateDict().values()].every((value) => !value.requiresGrad)).toBe(true);
    });
  });

  test('never contrasts a pixel from the source', () => {
    tidy(() => {
      const contrast = filledBanks(1, [0, 1, 2, 3]);
      const map = leaf(features(5));
      const mask = Array.from({ length: PIXELS }, (_, i) => i % 2);
      contrast.loss(map, labelMap(mask).to('bool'), viewOf(3), headOf(1)).backward();
      const gradient = matrix(pixelRows(map.grad!));
      const touched = gradient.map((row) => row.some((x) => x !== 0));
      expect(touched.some(Boolean)).toBe(true);
      expect(touched.filter((_, i) => mask[i])).not.toContain(true);
    });
  });

  test('the same seed and state give the same draws, and nothing is left behind', () => {
    const small = { ...options, anchors: 2, enqueue: 3 };
    using head = headOf(1);
    const inputs = tidy(() => ({ view: viewOf(3), map: features(5), label: labelMap(labelOf(6)) }));
    for (const value of [inputs.map, inputs.label, ...Object.values(inputs.view)]) keep(value as Tensor);
    const step = (contrast: PixelContrast) => {
      contrast.storeSource(viewOn(inputs.map), inputs.label, head);
      contrast.storeTarget(inputs.view, head);
      return tidy(() => contrast.loss(inputs.map, inputs.label.eq(0), inputs.view, head).item());
    };
    const [a, b] = [new PixelContrast(C, small, 7), new PixelContrast(C, small, 8)];
    step(a);
    b.loadStateDict(a.stateDict());
    b.generator.setState(a.generator.getState());
    const live = liveTensors();
    const losses = [1, 2, 3].map(() => step(a));
    expect([1, 2, 3].map(() => step(b))).toEqual(losses);
    expect(losses.every(Number.isFinite)).toBe(true);
    expect(new Set(losses).size).toBe(3);
    expect(liveTensors()).toBe(live);
    a.dispose();
    b.dispose();
  });
});
