// The step of a network of two resolutions, alone and with masked images and the contrast.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keep, liveTensors, ops, tidy } from '@pgpc/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { drawBox } from '../../src/adaptation/detail-box.js';
import { passLoss, segmentationLoss } from '../../src/adaptation/losses.js';
import { maskings, micMaskedConsistency } from '../../src/config/masked-consistency.js';
import { type MethodConfig, methodSchema } from '../../src/config/method.js';
import { multiResolutionFor } from '../../src/config/multi-resolution.js';
import type { TargetBatch } from '../../src/pipeline/batch.js';
import { Rng } from '../../src/random.js';
import { Trainer } from '../../src/training/trainer.js';
import {
  CLASSES,
  differing,
  int64,
  normal,
  randomLabels,
  randomStore,
  tinyContrast,
  tinyExperiment,
  tinySegmentor,
  tinySelfTraining,
  tinyStep,
  trainUntil,
} from '../support/method.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-two-resolutions-'));
afterAll(() => rmSync(folder, { recursive: true }));

const segmentor = { ...tinySegmentor, multiResolution: multiResolutionFor({ width: 64, height: 64 }) };

/** Two images of 64 x 64 from each domain; labels in blocks. */
function batchOf(seed: number): TargetBatch {
  const label = randomLabels(2 * 4 * 4, CLASSES, seed);
  return {
    sourceImage: normal([2, 3, 64, 64], 10 * seed + 1),
    sourceLabel: tidy(() => int64(label, [2, 4, 4]).repeatInterleave(16, 1).repeatInterleave(16, 2)),
    targetImage: normal([2, 3, 64, 64], 10 * seed + 2),
  };
}

test('detail crops lie on a grid of 8, and as in HRDA’s code never at its last place', () => {
  const rng = new Rng(1, 'box');
  const tops = new Set<number>();
  for (let i = 0; i < 2000; i++) {
    const { top, left, width, height } = drawBox([1024, 512], { width: 512, height: 512 }, 8, rng);
    expect([left, width, height]).toEqual([0, 512, 512]);
    tops.add(top);
  }
  expect([...tops].sort((a, b) => a - b)).toEqual(Array.from({ length: 64 }, (_, i) => 8 * i));
});

test('the loss is (1 - lambda_d) of the fused scores and lambda_d of the detail crop’s', () => {
  tidy(() => {
    const label = int64(randomLabels(2 * 16 * 16, CLASSES, 2), [2, 16, 16]);
    const weight = normal([2, 16, 16], 3).abs();
    const [logits, own] = [normal([2, CLASSES, 4, 4], 4), normal([2, CLASSES, 2, 2], 5)];
    const box = { top: 8, left: 0, height: 8, width: 8 };
    const cut = (map: typeof label) => map.narrow(1, 8, 8).narrow(2, 0, 8).contiguous();
    const expected =
      0.7 * segmentationLoss(logits, label, weight).item() +
      0.3 * segmentationLoss(own, cut(label), cut(weight)).item();
    expect(passLoss({ logits, detail: { box, logits: own } }, label, weight, 0.3).item()).toBeCloseTo(
      expected,
      6,
    );
    expect(passLoss({ logits }, label, weight, 0.3).item()).toBeCloseTo(
      segmentationLoss(logits, label, weight).item(),
      6,
    );
  });
});

describe('the step', () => {
  const featureDistance = { weight: 0.005, classes: [1, 2], minShare: 0.51 };
  const contrast = tinyContrast;
  const selfTraining = tinySelfTraining;
  const methods: Record<string, MethodConfig> = {
    'source-only': {},
    daformer: { selfTraining, featureDistance },
    'with MIC': { selfTraining, maskedConsistency: micMaskedConsistency },
    'with MIC for adverse weather': { selfTraining, maskedConsistency: maskings['mic-adverse'] },
    'with PGPC': { selfTraining, contrast },
    'with PGPC+': {
      selfTraining,
      contrast: { ...contrast, features: 'encoder', anchorDomains: 'both', correction: 0.1 },
    },
    'with MIC, its view and PGPC': {
      selfTraining,
      contrast: { ...contrast, anchorView: 'masked' },
      maskedConsistency: micMaskedConsistency,
    },
  };

  test.each(Object.entries(methods))(
    '%s: finite losses, every weight moves, nothing is left behind, the same by the same seed',
    (_, method) => {
      const before = liveTensors();
      const start = () => tinyStep(methodSchema.parse(method), 8, { segmentor });
      const losses = ({ step }: ReturnType<typeof start>) =>
        tidy(() =>
          [0, 1].map((i) =>
            Object.entries(step.run(batchOf(i), i)).flatMap(([name, value]) =>
              value ? [[name, (value as ReturnType<typeof normal>).item()]] : [],
            ),
          ),
        );
      const [a, b] = [start(), start()];
      const untouched = new Map(
        [...a.student.namedParameters()].map(([name, p]) => [name, p.toArray().slice()]),
      );
      const first = losses(a);
      expect(first.flat().every(([, value]) => Number.isFinite(value))).toBe(true);
      for (const [name, parameter] of a.student.namedParameters()) {
        // Over one key, which is all that so small a map has after its reduction, every query is the same.
        if (/\.attn\.q\./.test(name)) continue;
        expect([name, parameter.toArray()]).not.toEqual([name, untouched.get(name)]);
      }
      expect(losses(b)).toEqual(first);
      expect(differing(a.student, b.student)).toEqual([]);
      for (const { dispose } of [a, b]) dispose();
      expect(liveTensors()).toBe(before);
    },
  );

  test('activation checkpointing gives the gradients that it gives without, but for the order of sums', () => {
    const method = { selfTraining, contrast };
    const both = [false, true].map((activationCheckpointing) =>
      tinyStep(method, 8, { segmentor, activationCheckpointing, lr: 1e-9 }),
    );
    for (const { step } of both) tidy(() => void step.run(batchOf(0), 0));
    const [plain, twice] = both.map(({ student }) => student.namedParameters());
    const largest = Math.max(...[...plain!.values()].map(({ grad }) => grad!.abs().max().item()));
    for (const [name, { grad }] of plain!) {
      const difference = tidy(() => grad!.sub(twice!.get(name)!.grad!).abs().max().item());
      expect([name, difference / largest < 1e-6]).toEqual([name, true]);
    }
    for (const { dispose } of both) dispose();
  });

  test('anchors lie in the detail crop', () => {
    tidy(() => {
      const random = { ...contrast, anchorSelection: 'random' as const, anchors: 400 };
      const { step, student, dispose } = tinyStep({ selfTraining, contrast: random }, 8, { segmentor });
      // Every pixel is the target's.
      const batch = batchOf(1);
      const seen: { features: ReturnType<typeof normal>; box?: { top: number; left: number } | undefined }[] =
        [];
      const call = student.segmentor.call.bind(student.segmentor);
      student.segmentor.call = (image, box) => {
        const pass = call(image, box);
        if (pass.features.requiresGrad) pass.features.retainGrad();
        seen.push({ features: keep(pass.features), box });
        return pass;
      };
      step.run(batch, 0);
      step.run(batch, 1);
      const { features, box } = seen.at(-1)!;
      const touched = features.grad!.abs().sum([0, 1]).gt(0);
      const inside = ops.zerosLike(touched);
      inside
        .narrow(0, box!.top / 4, 8)
        .narrow(1, box!.left / 4, 8)
        .fill_(true);
      expect(touched.any().item()).toBeTruthy();
      expect(touched.logicalAnd(inside.logicalNot()).any().item()).toBeFalsy();
      for (const one of seen) one.features.dispose();
      dispose();
    });
  });
});

test('a run with detail crops, masks and margins that is stopped and restored ends where one in one go does', async () => {
  const experiment = tinyExperiment(
    'pgpc',
    {
      contrast: tinyContrast,
      maskedConsistency: micMaskedConsistency,
      selfTraining: { ...tinySelfTraining, imageMargins: { top: 0.1, bottom: 0.2, left: 0.05, right: 0.05 } },
    },
    {
      segmentor: { ...segmentor, dropout: 0.1, dropPath: 0.1 },
      crop: { width: 64, height: 64, catMaxRatio: 0.9, flip: 0.5 },
      iterations: 3,
    },
  );
  const store = randomStore([1, 2, 3]);
  const data = { source: store, target: store };
  const whole = new Trainer(experiment, data);
  const log = await trainUntil(whole, 3);
  const first = new Trainer(experiment, data);
  const before = await trainUntil(first, 1);
  first.save(folder);
  const second = new Trainer(experiment, data);
  second.restore(folder);
  expect([...before, ...(await trainUntil(second, 3))]).toEqual(log);
  expect(differing(second.learner, whole.learner)).toEqual([]);
  for (const trainer of [whole, first, second]) await trainer.dispose();
});
