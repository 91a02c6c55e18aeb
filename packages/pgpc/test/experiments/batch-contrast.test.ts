// The published variant of the contrast against sums over pairs of pixels, and in the training step.

import { grad, liveTensors, noGrad, ops, type Tensor, tidy } from '@pgpc/torch';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Learner } from '../../src/adaptation/learner.js';
import { AdaptationStep } from '../../src/adaptation/step.js';
import { methodConfig, methodSchema } from '../../src/config/method.js';
import { BatchContrast, batchContrast } from '../../src/experiments/batch-contrast.js';
import { pixelLabels, pixelRows } from '../../src/pixels.js';
import { buildOptimizer } from '../../src/training/optimizer.js';
import {
  dot,
  int64,
  matrix,
  mean,
  normal,
  randomLabels,
  slopes,
  tinyBatch,
  tinySegmentor,
  tinySelfTraining,
  unitRows,
} from '../support/method.js';

/** Pixel by pixel and pair by pair. */
function slowLoss(z: number[][], label: readonly number[], tau: number): number {
  const perPixel = z.flatMap((own, i) => {
    if (label[i] === 255) return [];
    const score = (j: number) => Math.exp(dot(own, z[j]!) / tau);
    const others = z.flatMap((_, k) => (label[k] !== 255 && label[k] !== label[i] ? [score(k)] : []));
    const far = others.reduce((a, b) => a + b, 0);
    const pairs = z.flatMap((_, j) =>
      j !== i && label[j] === label[i] ? [-Math.log(score(j) / (score(j) + far))] : [],
    );
    return pairs.length > 0 ? [mean(pairs)] : [];
  });
  return perPixel.length > 0 ? mean(perPixel) : 0;
}

describe('batchContrast', () => {
  test('equals the sum over pairs, and its gradient the slopes', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1e6 }),
        fc.integer({ min: 1, max: 9 }),
        fc.constantFrom(0.1, 0.5, 1),
        (seed, pixels, tau) =>
          tidy(() => {
            const z = unitRows([pixels, 3], seed, 'float64');
            const label = randomLabels(pixels, 3, seed);
            const loss = (rows: Tensor) => batchContrast(rows, int64(label), tau);
            expect(loss(z).item()).toBeCloseTo(slowLoss(matrix(z), label, tau), 9);
            const leaf = z.detach().clone().requiresGrad_();
            const gradient = grad(loss(leaf), [leaf])[0]!.toArray();
            const expected = slopes(z, () => slowLoss(matrix(z), label, tau));
            for (const [i, slope] of expected.entries()) expect(gradient[i]).toBeCloseTo(slope, 5);
          }),
      ),
      { numRuns: 60 },
    );
  });

  test('is 0 with a gradient of 0 where no two pixels share a class, or all do', () => {
    tidy(() => {
      for (const label of [
        [0, 1, 2],
        [1, 1, 1],
        [255, 255, 255],
      ]) {
        const z = unitRows([3, 4], 1).requiresGrad_();
        const loss = batchContrast(z, int64(label), 1);
        expect(loss.item()).toBe(0);
        expect(grad(loss, [z])[0]!.abs().max().item()).toBe(0);
      }
    });
  });
});

describe('the method batch-contrast', () => {
  const method = methodConfig('batch-contrast', { selfTraining: tinySelfTraining, featureDistance: false });

  test('needs a mixed image', () => {
    expect(() => methodSchema.parse({ batchContrast: method.batchContrast })).toThrow('needs selfTraining');
  });

  test('adds the loss of the source and of the mixed image, and leaves nothing behind', () => {
    const before = liveTensors();
    const run = (weight: number) => {
      const student = new Learner(tinySegmentor, 0);
      const optimizer = buildOptimizer(student, { lr: 1e-4, headMultiplier: 10, weightDecay: 0.01 });
      const weighed = { ...method, batchContrast: { ...method.batchContrast!, weight } };
      const step = new AdaptationStep(weighed, student, optimizer, 10, 3);
      const losses = tidy(() => {
        const all = step.run(tinyBatch(1), 0);
        return Object.fromEntries(Object.entries(all).flatMap(([key, x]) => (x ? [[key, x.item()]] : [])));
      });
      step.dispose();
      optimizer.dispose();
      student.dispose();
      return losses;
    };
    const [none, once, twice] = [0, 1, 2].map(run) as [Record<string, number>, ...Record<string, number>[]];
    const own = 'parts.batch-contrast';
    expect(none[own]).toBe(0);
    expect(once![own]).toBeGreaterThan(0.1);
    expect(twice![own]).toBeCloseTo(2 * once![own]!, 4);
    expect(once!.total).toBeCloseTo(none.total! + once![own]!, 4);
    expect(liveTensors()).toBe(before);
  });

  test('contrasts the encoder, at no more than 65 x 65, without pixels that have no pseudo-label', () => {
    tidy(() => {
      const part = new BatchContrast({ weight: 1, temperature: 0.5, size: 3 });
      const stages = [normal([1, 2, 4, 4], 1), normal([1, 3, 2, 2], 2)];
      const features = normal([1, 5, 4, 4], 3);
      const label = int64(randomLabels(64, 3, 4), [1, 8, 8]);
      const weight = ops.onesLike(label).to('float32');
      weight.narrow(1, 4, 4).fill_(0);
      const pass = { image: features, features, logits: features, stages, label };
      const fused = ops.cat(
        stages.map((stage) => ops.upsampleBilinear2d(stage, [4, 4], false)),
        1,
      );
      const small = ops.upsampleBilinear2d(fused, [3, 3], false);
      const rows = matrix(pixelRows(small)).map((row) => row.map((x) => x / Math.sqrt(dot(row, row))));
      const known = matrix(pixelLabels(label, [3, 3]).unsqueeze(0))[0]!;
      expect(part.sourceLoss(pass).item()).toBeCloseTo(slowLoss(rows, known, 0.5), 4);
      const upper = known.map((k, i) => (i < 6 ? k : 255));
      const mixed = { ...pass, weight, mask: label.eq(0) };
      // Rows 0, 2 and 5 of 8 are taken: the last lies in the lower half.
      expect(noGrad(() => part.mixedLoss(mixed)).item()).toBeCloseTo(slowLoss(rows, upper, 0.5), 4);
    });
  });
});
