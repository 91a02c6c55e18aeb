// Masked images: which pixels are hidden, whose images they are, and what the student should say of them.

import { Generator, ones, tidy } from '@pgpc/torch';
import { expect, test } from 'vitest';
import { segmentationLoss } from '../../src/adaptation/losses.js';
import { imagesToMask, masked, patchSide } from '../../src/adaptation/masked-consistency.js';
import { pseudoLabels } from '../../src/adaptation/pseudo-labels.js';
import { micMaskedConsistency } from '../../src/config/masked-consistency.js';
import { methodSchema } from '../../src/config/method.js';
import {
  int64,
  matrix,
  normal,
  tinyBatch,
  tinyContrast,
  tinySelfTraining,
  tinyStep,
} from '../support/method.js';

test('square patches are hidden one by one, as many as asked for on average', () => {
  tidy(() => {
    using generator = new Generator(1);
    const [size, side] = [64, 4];
    const grid = masked(ones([32, 3, size, size]), { ratio: 0.7, patch: side / size }, generator);
    expect(grid.mean().item()).toBeCloseTo(0.3, 1);
    for (const i of [0, 31]) {
      const image = grid.select(0, i);
      expect(image.select(0, 0).equal(image.select(0, 2))).toBe(true);
      const values = matrix(image.select(0, 0));
      for (let y = 0; y < size; y++) {
        for (let x = 0; x < size; x++) {
          expect(values[y]![x]).toBe(values[y - (y % side)]![x - (x % side)]);
          expect([0, 1]).toContain(values[y]![x]);
        }
      }
    }
    expect(grid.select(0, 0).equal(grid.select(0, 1))).toBe(false);
  });
});

test('nothing is hidden at 0 and everything at 1; what stays is as it was', () => {
  tidy(() => {
    using generator = new Generator(2);
    const image = normal([2, 3, 32, 48], 3);
    const hidden = (ratio: number) => masked(image, { ratio, patch: 1 / 8 }, generator);
    expect(hidden(0).equal(image)).toBe(true);
    expect(hidden(1).abs().max().item()).toBe(0);
    const some = hidden(0.5);
    const stays = some.ne(0);
    expect(some.equal(image.mul(stays.to('float32')))).toBe(true);
  });
});

test('a patch is 64 pixels of 1024 and 32 of 512', () => {
  expect([1024, 512, 128].map((height) => patchSide(micMaskedConsistency.patch, height))).toEqual([
    64, 32, 8,
  ]);
});

test('ranks hide what one process would', () => {
  tidy(() => {
    const image = normal([4, 3, 32, 32], 4);
    using whole = new Generator(5);
    const all = masked(image, micMaskedConsistency, whole);
    for (const rank of [0, 1]) {
      using generator = new Generator(5);
      const world = { rank, size: 2, part: (x: typeof image) => x.narrow(0, 2 * rank, 2) } as never;
      const part = masked(image.narrow(0, 2 * rank, 2), micMaskedConsistency, generator, world);
      expect(part.equal(all.narrow(0, 2 * rank, 2))).toBe(true);
    }
  });
});

test.each([
  ['target', [10, 11, 12, 13]],
  ['source', [0, 1, 2, 3]],
  ['both', [0, 1, 12, 13]],
] as const)('of the domain %s the images, labels and weights are %j', (domain, expected) => {
  tidy(() => {
    const images = (first: number) => {
      const numbers = int64([0, 1, 2, 3].map((i) => first + i));
      const of = (shape: number[]) => numbers.view([4, ...shape.map(() => 1)]).expand([4, ...shape]);
      return { image: of([3, 2, 2]), label: of([2, 2]), weight: of([2, 2]) };
    };
    const { image, label, weight } = imagesToMask(images(0), images(10), { domain });
    for (const map of [image, label, weight]) {
      expect([...map.flatten(1).select(1, 0).toArray()].map(Number)).toEqual(expected);
    }
    // Half of a batch of two ranks is the first rank's.
    if (domain !== 'both') return;
    for (const rank of [0, 1]) {
      const part = imagesToMask(images(0), images(10), { domain }, { rank, size: 2 } as never);
      const numbers = [...part.label.flatten(1).select(1, 0).toArray()].map(Number);
      expect(numbers).toEqual(rank === 0 ? [0, 1, 2, 3] : [10, 11, 12, 13]);
    }
  });
});

test('the loss is that of the teacher’s pseudo-labels on the masked image, with their weight', () => {
  tidy(() => {
    // With nothing hidden and nothing jittered the student sees the target as it is.
    const maskedConsistency = { ...micMaskedConsistency, ratio: 0, augment: false, weight: 2 };
    const { step, student, dispose } = tinyStep({ selfTraining: tinySelfTraining, maskedConsistency }, 8);
    const batch = tinyBatch(1);
    const teacher = step.parts.teacher!;
    // The teacher is the student in the first step; both normalise by the batch.
    const { logits } = teacher.view(batch.targetImage);
    const { label, weight } = pseudoLabels(logits, [32, 32], tinySelfTraining);
    const expected = segmentationLoss(student.segmentor.call(batch.targetImage).logits, label, weight).mul(2);
    const { masked: loss, total, source, target } = step.run(batch, 0);
    expect(loss!.item()).toBeCloseTo(expected.item(), 5);
    expect(expected.item()).toBeGreaterThan(0);
    expect(total.item()).toBeCloseTo(source.item() + target!.item() + loss!.item(), 4);
    dispose();
  });
});

test('anchors of the masked view are contrasted in its pass, once', () => {
  tidy(() => {
    const contrast = { ...tinyContrast, anchorView: 'masked' as const };
    const method = { selfTraining: tinySelfTraining, contrast, maskedConsistency: micMaskedConsistency };
    const { step, dispose } = tinyStep(methodSchema.parse(method), 8);
    const { contrast: loss, total, source, target, masked: hidden } = step.run(tinyBatch(1), 0);
    expect(loss!.item()).toBeGreaterThan(0);
    const sum = source.item() + target!.item() + hidden!.item() + tinyContrast.weight * loss!.item();
    expect(total.item()).toBeCloseTo(sum, 4);
    dispose();
  });
});

test.each([
  [{ maskedConsistency: micMaskedConsistency }, 'maskedConsistency needs selfTraining'],
  [
    { selfTraining: tinySelfTraining, contrast: { ...tinyContrast, anchorView: 'masked' } },
    'anchorView masked needs maskedConsistency of the domain target',
  ],
])('refuses %#', (method, message) => {
  expect(() => methodSchema.parse(method)).toThrow(message);
});
