// The feature distance against loops over positions and channels, its gradient, and its place in the step.

import { noGrad, optim, type Tensor, tidy } from '@pgpc/torch';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FeatureDistance, featureDistance, thingMask } from '../../src/adaptation/feature-distance.js';
import { Learner } from '../../src/adaptation/learner.js';
import { segmentationLoss } from '../../src/adaptation/losses.js';
import { AdaptationStep } from '../../src/adaptation/step.js';
import { Rng } from '../../src/random.js';
import { differing, int64, normal, tinySegmentor } from '../support/method.js';

/** Labels in blocks, so that patches of one class are frequent; 255 among them. */
function blocks(size: number, block: number, seed: number): number[] {
  const rng = new Rng(seed, 'blocks');
  const per = Math.ceil(size / block);
  const values = Array.from({ length: per * per }, () => [0, 1, 2, 3, 255][rng.below(5)]!);
  return Array.from({ length: size * size }, (_, i) => {
    const [y, x] = [Math.floor(i / size), i % size];
    return rng.below(12) === 0 ? rng.below(4) : values[Math.floor(y / block) * per + Math.floor(x / block)]!;
  });
}

function slowMask(
  labels: number[],
  size: number,
  cells: number,
  classes: number[],
  minShare: number,
): number[] {
  const patch = size / cells;
  return Array.from({ length: cells * cells }, (_, cell) => {
    const counts = new Map<number, number>();
    for (let y = 0; y < patch; y++) {
      for (let x = 0; x < patch; x++) {
        const row = Math.floor(cell / cells) * patch + y;
        const label = labels[row * size + (cell % cells) * patch + x]!;
        counts.set(label, (counts.get(label) ?? 0) + 1);
      }
    }
    const [top, count] = [...counts].sort((a, b) => b[1] - a[1])[0]!;
    return classes.includes(top) && count / patch ** 2 >= minShare ? 1 : 0;
  });
}

describe('thingMask', () => {
  test('equals counting labels patch by patch', () => {
    fc.assert(
      fc.property(
        fc.nat(1000),
        fc.constantFrom(2, 4, 8),
        fc.constantFrom(0.6, 0.75, 1),
        (seed, cells, share) => {
          const labels = blocks(16, 4, seed);
          const mask = tidy(() =>
            thingMask(int64(labels, [1, 16, 16]), [cells, cells], { classes: int64([1, 3]), minShare: share })
              .flatten()
              .tolist(),
          );
          expect(mask).toEqual(slowMask(labels, 16, cells, [1, 3], share));
        },
      ),
      { numRuns: 60 },
    );
  });

  test('pixels without a class belong to none, and a share of exactly the least counts', () => {
    // Patches: three of four; two and two without; one of four; three of four.
    const rows = [1, 1, 1, 255, 255, 1, 255, 1, 1, 255, 1, 1, 255, 255, 255, 1];
    const mask = tidy(() =>
      thingMask(int64(rows, [1, 4, 4]), [2, 2], { classes: int64([1]), minShare: 0.75 }).tolist(),
    );
    expect(mask).toEqual([
      [
        [1, 0],
        [0, 1],
      ],
    ]);
  });
});

describe('featureDistance', () => {
  test('is the mean distance over the positions that count, with its gradient', () => {
    tidy(() => {
      const f = normal([2, 3, 2, 2], 1, 'float64').requiresGrad_();
      const g = normal([2, 3, 2, 2], 2, 'float64');
      const mask = int64([1, 0, 0, 1, 1, 0, 0, 0], [2, 2, 2]).to('float64');
      const loss = featureDistance(f, g, mask);
      const a = f.tolist() as number[][][][];
      const b = g.tolist() as number[][][][];
      const kept = [
        [0, 0, 0],
        [0, 1, 1],
        [1, 0, 0],
      ] as const;
      const distance = kept.map(([n, y, x]) =>
        Math.hypot(...a[n]!.map((channel, c) => channel[y]![x]! - b[n]![c]![y]![x]!)),
      );
      expect(loss.item()).toBeCloseTo((distance[0]! + distance[1]! + distance[2]!) / 3, 12);
      loss.backward();
      const grad = f.grad!.tolist() as number[][][][];
      for (const [i, [n, y, x]] of kept.entries()) {
        for (let c = 0; c < 3; c++) {
          const difference = a[n]![c]![y]![x]! - b[n]![c]![y]![x]!;
          expect(grad[n]![c]![y]![x]).toBeCloseTo(difference / distance[i]! / 3, 12);
        }
      }
      expect(Math.abs(grad[1]![0]![1]![1]!)).toBe(0);
    });
  });

  test('without a position that counts it is 0, and equal features have a gradient of 0', () => {
    tidy(() => {
      const f = normal([1, 3, 2, 2], 1).requiresGrad_();
      const none = featureDistance(f, normal([1, 3, 2, 2], 2), int64([0, 0, 0, 0], [1, 2, 2]).to('float32'));
      expect(none.item()).toBe(0);
      none.backward();
      const same = featureDistance(f, f.detach().clone(), int64([1, 1, 1, 1], [1, 2, 2]).to('float32'));
      expect(same.item()).toBe(0);
      same.backward();
      expect(new Set((f.grad!.flatten().tolist() as number[]).map(Math.abs))).toEqual(new Set([0]));
    });
  });
});

test('in the step it adds its weight times the distance to the encoder as it was at the start', () => {
  const options = { weight: 0.5, classes: [0, 1, 2, 3, 4], minShare: 0.6 };
  const student = new Learner(tinySegmentor, 1);
  const step = new AdaptationStep(
    { featureDistance: options },
    student,
    new optim.SGD(student.parameters(), { lr: 0.1 }),
    10,
    1,
  );
  const other = new Learner(tinySegmentor, 2);
  student.loadStateDict(other.stateDict());
  step.adoptStudent();
  const batch = {
    sourceImage: normal([2, 3, 64, 64], 3),
    sourceLabel: int64(
      Array.from({ length: 2 * 64 * 64 }, (_, i) => (i < 64 * 64 ? 2 : 4)),
      [2, 64, 64],
    ),
  };
  const run = (iteration: number) =>
    tidy(() => {
      const { total, source, featureDistance: distance } = step.run(batch, iteration);
      return { total: total.item(), source: source.item(), distance: distance!.item() };
    });
  const first = run(0);
  // Batch norms are in the head alone, so student and frozen encoder agree until the first update.
  expect(first.distance).toBe(0);
  const second = run(1);
  expect(second.distance).toBeGreaterThan(0);
  expect(second.total).toBeCloseTo(second.source + second.distance, 5);
  const now = tidy(() => {
    const output = student.segmentor.call(batch.sourceImage);
    const frozen = noGrad(() => other.segmentor.backbone.call(batch.sourceImage).at(-1)!);
    const rows = (map: Tensor) => map.permute([0, 2, 3, 1]).reshape([-1, map.shape[1]!]);
    const distance = rows(output.stages.at(-1)!).sub(rows(frozen)).norm(2, [1]).mean().item();
    return { source: segmentationLoss(output.logits, batch.sourceLabel).item(), distance: 0.5 * distance };
  });
  const third = run(2);
  expect(third.distance).toBeCloseTo(now.distance, 5);
  expect(third.source).toBeCloseTo(now.source, 4);
  expect(differing(step.parts.featureDistance!.encoder, other.segmentor.backbone)).toEqual([]);
  expect(new FeatureDistance(step.parts.featureDistance!.encoder, options).encoder.training).toBe(false);
  step.dispose();
});
