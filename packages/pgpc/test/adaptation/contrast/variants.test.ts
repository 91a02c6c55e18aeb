// Every combination of the contrast's switches against loops over pixels and classes: what is stored, and the loss with
// its gradients.

import { grad, liveTensors, noGrad, type Tensor, tensor, tidy } from '@pgpc/torch';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PixelContrast } from '../../../src/adaptation/contrast/contrast.js';
import type { ProjectionHead } from '../../../src/adaptation/contrast/projection-head.js';
import type { ContrastOptions } from '../../../src/config/contrast.js';
import { pixelRows } from '../../../src/pixels.js';
import {
  C,
  cellMap,
  cellsOf,
  drawsAhead,
  featureMap,
  headOf,
  labelMap,
  labelOf,
  PIXELS,
  type Seen,
  SlowStores,
  seenAt,
  similarSlots,
  slowAnchors,
  slowPureLabel,
  variants,
  WIDTH,
} from '../../support/contrast.js';
import { difference, dot, matrix, sortedRows, tinyContrast } from '../../support/method.js';

const seeds = fc.integer({ min: 0, max: 1e6 });
const STEPS = 3;
const progressAt = (step: number) => step / STEPS;

function store(contrast: PixelContrast, { source, cells, target }: Seen, head: ProjectionHead, step: number) {
  contrast.storeSource(source, cellMap(cells), head);
  contrast.storeTarget(target, head, progressAt(step));
}

/** A contrast after some steps, and what it ought to hold. */
function filled(options: ContrastOptions, seed: number, head: ProjectionHead) {
  const contrast = new PixelContrast(C, options, seed);
  const slow = new SlowStores(options);
  for (let step = 0; step < STEPS; step++) {
    const seen = seenAt(seed + 10 * step);
    store(contrast, seen, head, step);
    slow.step(seen, head, progressAt(step));
  }
  return { contrast, slow };
}

type Bank = { rows: Tensor; filled: Tensor };

/** The rows that a bank holds of each class. */
function rowsOf({ rows, filled }: Bank): number[][][] {
  const counts = filled.tolist() as number[];
  return (rows.tolist() as number[][][]).map((own, c) => own.slice(0, counts[c]));
}

const bankOf = (store: { module: object } | undefined) => store?.module as Bank | undefined;

function expectSameRows(held: readonly number[][], slow: readonly number[][]): void {
  expect(held.length).toBe(slow.length);
  // Sorting decides by the first number alone here, so a last bit that differs changes no order.
  expect(difference(sortedRows(held).flat(), sortedRows(slow).flat())).toBeLessThan(1e-5);
}

describe('what is stored', () => {
  test('equals what loops over pixels and classes keep', () => {
    fc.assert(
      fc.property(variants, seeds, (options, seed) =>
        tidy(() => {
          const { contrast, slow } = filled(options, seed, headOf(seed, 2, options.norm));
          const prototypes = matrix(contrast.prototypes());
          const known = contrast.known().tolist() as boolean[];
          const negatives = bankOf(contrast.negatives.store);
          for (let c = 0; c < C; c++) {
            const expected = slow.prototype(c);
            expect(known[c]).toBe(expected !== undefined);
            expect(difference(prototypes[c]!, expected ?? prototypes[c]!.map(() => 0))).toBeLessThan(1e-5);
            if (negatives) expectSameRows(rowsOf(negatives)[c]!, slow.negatives[c]!);
            if (options.type === 'pixel-to-pixel') {
              expectSameRows(rowsOf(bankOf(contrast.positives.store)!)[c]!, slow.positives[c]!);
            }
          }
          contrast.dispose();
        }),
      ),
      { numRuns: 40 },
    );
  });

  test('banks are there only where they are used', () => {
    const names = (type: NonNullable<ContrastOptions['type']>) => {
      const contrast = new PixelContrast(C, { ...tinyContrast, type }, 0);
      const found = [...contrast.stateDict().keys()];
      contrast.dispose();
      return found;
    };
    const bank = (name: string) => ['rows', 'next', 'filled'].map((key) => `${name}.${key}`);
    expect(names('hybrid')).toEqual([...bank('centres'), ...bank('negatives')]);
    expect(names('pixel-to-pixel')).toEqual([...bank('positives'), ...bank('negatives')]);
    expect(names('pixel-to-prototype')).toEqual(bank('centres'));
  });

  test('no row of class c comes from a pixel with c among its r most likely classes', () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 1, max: 3 }), (seed, rank) =>
        tidy(() => {
          // One linear layer keeps directions apart, so a row tells its pixel.
          const options = { ...tinyContrast, rank, negativeDomains: 'target' as const, width: 5 };
          const contrast = new PixelContrast(C, { ...options, enqueue: PIXELS, bankCapacity: PIXELS }, seed);
          const head = headOf(seed, 1);
          const { source, cells, target } = seenAt(seed);
          contrast.storeSource(source, cellMap(cells), head);
          contrast.storeTarget(target, head);
          const z = matrix(noGrad(() => head.call(pixelRows(target.features))));
          const logits = matrix(pixelRows(target.logits));
          for (const [c, rows] of rowsOf(bankOf(contrast.negatives.store)!).entries()) {
            for (const row of rows) {
              const pixel = z.findIndex((each) => difference(each, row) < 1e-6);
              const likely = logits[pixel]!.map((_, k) => k).sort(
                (a, b) => logits[pixel]![b]! - logits[pixel]![a]!,
              );
              expect(likely.slice(0, rank)).not.toContain(c);
            }
          }
          contrast.dispose();
        }),
      ),
      { numRuns: 30 },
    );
  });
});

/** Draws with replacement from as many rows, out of random numbers in [0, 1). */
const slots = (numbers: readonly number[], filled: number) =>
  numbers.map((x) => Math.max(0, Math.min(Math.trunc(Math.fround(x * filled)), filled - 1)));

const orZeros = (row: readonly number[] | undefined) => row ?? Array<number>(WIDTH).fill(0);

/**
 * Eq 5 one anchor at a time, on what the banks hold and on the random numbers that the contrast will draw.
 * @param z (P, D) of the student, with gradient. @param candidates the class of each pixel that may be an anchor, else -1.
 */
function slowLoss(
  contrast: PixelContrast,
  slow: SlowStores,
  z: Tensor,
  candidates: readonly number[],
): Tensor {
  const { settings } = slow;
  const { type, negatives: N, perAnchorNegatives, negativeSampling, temperature } = settings;
  const draws = drawsAhead(contrast);
  const positiveBank = bankOf(contrast.positives.store)!;
  const negativeBank = bankOf(contrast.negatives.store);

  const prototypes = Array.from({ length: C }, (_, c) => slow.prototype(c));
  const perClass = Array.from({ length: C }, (_, c) => {
    const others = prototypes.filter((row, k) => k !== c && row !== undefined);
    const has = negativeBank ? slow.negatives[c]!.length > 0 : others.length > 0;
    if (!prototypes[c] || !has) return [];
    const own = candidates.flatMap((k, i) => (k === c ? [i] : []));
    own.sort((a, b) => draws.keys[c]![b]! - draws.keys[c]![a]!);
    return own.map((i, m) => {
      let positive = prototypes[c]!;
      if (type === 'pixel-to-pixel') {
        const rows = rowsOf(positiveBank)[c]!;
        positive = rows[slots(draws.positives[c]!, rows.length)[m]!]!;
      }
      let negatives = others as number[][];
      if (negativeBank) {
        const rows = rowsOf(negativeBank)[c]!;
        const numbers = draws.negatives[c]!.slice(perAnchorNegatives ? m * N : 0).slice(0, N);
        const owner = rows.map((row) => row[WIDTH]!);
        const drawn =
          negativeSampling === 'uniform'
            ? slots(numbers, rows.length)
            : similarSlots(numbers, owner, prototypes.map(orZeros), c, temperature);
        negatives = drawn.map((slot) => rows[slot]!.slice(0, WIDTH));
      }
      const score = (row: readonly number[]) =>
        z
          .select(0, i)
          .dot(tensor([...row]))
          .div(temperature)
          .exp();
      const near = score(positive);
      return negatives
        .reduce((sum, row) => sum.add(score(row)), near)
        .div(near)
        .log();
    });
  }).filter((losses) => losses.length > 0);
  const means = perClass.map((losses) => losses.reduce((a, b) => a.add(b)).div(losses.length));
  return means.length > 0 ? means.reduce((a, b) => a.add(b)).div(means.length) : z.sum().mul(0);
}

describe('the loss', () => {
  test('equals eq 5 one anchor at a time, and so do its gradients', () => {
    let contrasted = 0;
    fc.assert(
      fc.property(variants, fc.boolean(), seeds, (options, onTarget, seed) =>
        tidy(() => {
          const [teacher, student] = [headOf(seed, 2, options.norm), headOf(seed + 1, 2, options.norm)];
          const { contrast, slow } = filled(options, seed, teacher);
          const progress = 0.5;

          // As the step has it: labelled pixels of the source first, then the target's.
          const losses: { map: Tensor; fast: Tensor; slow: Tensor }[] = [];
          if (contrast.hasAnchorsIn('source')) {
            const map = featureMap(seed + 7).requiresGrad_();
            const cells = cellsOf(seed + 8);
            const labels = cells.map((cell) => slowPureLabel(cell, slow.settings.minShare));
            const expected = slowLoss(contrast, slow, student.call(pixelRows(map)), labels);
            losses.push({ map, slow: expected, fast: contrast.sourceLoss(map, cellMap(cells), student) });
          }
          if (contrast.hasAnchorsIn('target')) {
            const map = featureMap(seed + 5).requiresGrad_();
            const { target } = seenAt(seed + 10 * STEPS);
            const fromSource = labelOf(seed + 6).map((value) => value === 0 || value === 255);
            const mask = onTarget ? undefined : labelMap(fromSource.map(Number)).to('bool');
            const { anchorShare: first, anchorShareEnd: last } = slow.settings;
            const rule = { ...slow.settings, anchorShare: first + (last - first) * progress };
            const candidates = slowAnchors(matrix(pixelRows(target.logits).softmax(1)), rule);
            const usable = candidates.map((c, i) => (onTarget || !fromSource[i] ? c : -1));
            const expected = slowLoss(contrast, slow, student.call(pixelRows(map)), usable);
            losses.push({
              map,
              slow: expected,
              fast: contrast.loss(map, mask, target, student, progress),
            });
          }

          expect(losses).toHaveLength(options.anchorDomains === 'both' ? 2 : 1);
          for (const { map, slow, fast } of losses) {
            const value = slow.item();
            expect(Math.abs(fast.item() - value)).toBeLessThan(1e-4 * Math.max(1, value));
            const inputs = [map, ...student.parameters()];
            const gradients = grad(fast, inputs);
            for (const [i, gradient] of grad(slow, inputs).entries()) {
              expect(difference(gradients[i]!.toArray(), gradient!.toArray())).toBeLessThan(2e-4);
            }
            if (value > 0) contrasted++;
          }
          contrast.dispose();
        }),
      ),
      { numRuns: 60 },
    );
    expect(contrasted).toBeGreaterThan(40);
  });

  test('resumes from a checkpoint with the same numbers, and leaves nothing behind', () => {
    fc.assert(
      fc.property(variants, seeds, (options, seed) => {
        const small = { ...options, anchors: 2, enqueue: 3 };
        using head = headOf(seed, 2, options.norm);
        const step = (contrast: PixelContrast, i: number) =>
          tidy(() => {
            const seen = seenAt(seed + i);
            store(contrast, seen, head, i % STEPS);
            const map = featureMap(seed + i + 20);
            const ofSource = contrast.sourceLoss(map, cellMap(seen.cells), head);
            return ofSource.add(contrast.loss(map, undefined, seen.target, head, 1)).item();
          });
        const [a, b] = [new PixelContrast(C, small, seed), new PixelContrast(C, small, seed + 1)];
        step(a, 0);
        tidy(() => b.loadStateDict(a.stateDict()));
        b.generator.setState(a.generator.getState());
        const live = liveTensors();
        const losses = [1, 2].map((i) => step(a, i));
        expect([1, 2].map((i) => step(b, i))).toEqual(losses);
        expect(losses.every(Number.isFinite)).toBe(true);
        expect(liveTensors()).toBe(live);
        a.dispose();
        b.dispose();
      }),
      { numRuns: 12 },
    );
  });
});

describe("the correction of the teacher's scores", () => {
  test('multiplies its probabilities by the softmax over the prototypes, pixel by pixel', () => {
    let unknown = 0;
    fc.assert(
      fc.property(variants, seeds, fc.constantFrom(0.1, 0.5, 2), fc.boolean(), (chosen, seed, tau, empty) =>
        tidy(() => {
          const options = { ...chosen, correction: tau };
          const head = headOf(seed, 2, options.norm);
          const { contrast, slow } = empty
            ? { contrast: new PixelContrast(C, options, seed), slow: new SlowStores(options) }
            : filled(options, seed, head);
          const { target } = seenAt(seed + 7);
          const fast = pixelRows(contrast.corrected(target, head)).exp();
          expect(fast.requiresGrad).toBe(false);
          const z = matrix(noGrad(() => head.call(pixelRows(target.features))));
          const p = matrix(pixelRows(target.logits).softmax(1));
          const prototypes = Array.from({ length: C }, (_, c) => slow.prototype(c));
          if (prototypes.some((row) => row === undefined)) unknown++;
          for (const [i, row] of matrix(fast).entries()) {
            const score = prototypes.map((own) => own && Math.exp(dot(z[i]!, own) / tau));
            const sum = score.reduce((a: number, b) => a + (b ?? 0), 0);
            const both = score.map((own, c) => p[i]![c]! * (own === undefined ? 1 / C : own / sum));
            const total = both.reduce((a, b) => a + b);
            expect(
              difference(
                row,
                both.map((x) => x / total),
              ),
            ).toBeLessThan(1e-4);
          }
          contrast.dispose();
        }),
      ),
      { numRuns: 40 },
    );
    expect(unknown).toBeGreaterThan(5);
  });
});
