// The contrast's switches in the training step: whose features the anchors have, and how far the run is.

import { grad, liveTensors, noGrad, tidy } from '@pgpc/torch';
import { describe, expect, test } from 'vitest';
import { PixelContrast } from '../../../src/adaptation/contrast/contrast.js';
import { Learner } from '../../../src/adaptation/learner.js';
import { AdaptationStep } from '../../../src/adaptation/step.js';
import type { ContrastOptions } from '../../../src/config/contrast.js';
import { buildOptimizer } from '../../../src/training/optimizer.js';
import { CLASSES, tinyBatch, tinyContrast, tinySegmentor, tinySelfTraining } from '../../support/method.js';

const TOTAL = 8;

function start(contrast: ContrastOptions) {
  const student = new Learner(tinySegmentor, 0, contrast);
  const optimizer = buildOptimizer(student, { lr: 1e-4, headMultiplier: 10, weightDecay: 0.01 });
  const method = { selfTraining: tinySelfTraining, contrast };
  const step = new AdaptationStep(method, student, optimizer, TOTAL, 3);
  let passes = 0;
  const { segmentor } = student;
  const call = segmentor.call.bind(segmentor);
  segmentor.call = (image) => {
    passes++;
    return call(image);
  };
  /** One step's contrast loss and how often the student saw an image. */
  const run = (iteration: number) =>
    tidy(() => {
      passes = 0;
      const { contrast: loss } = step.run(tinyBatch(iteration), iteration);
      return { loss: loss!.item(), passes };
    });
  const dispose = () => {
    step.dispose();
    optimizer.dispose();
    student.dispose();
  };
  return { student, step, run, dispose };
}

describe("the anchors' view", () => {
  test.each([
    ['mixed', [2, 2]],
    ['target', [2, 3]],
  ] as const)('%s: so many passes of the student before and after the warm-up', (anchorView, expected) => {
    const { run, dispose } = start({ ...tinyContrast, anchorView, warmup: 0.5 });
    const steps = [3, 4].map(run);
    expect(steps.map(({ passes }) => passes)).toEqual(expected);
    expect(steps.map(({ loss }) => loss > 0)).toEqual([false, true]);
    dispose();
  });

  test('target: the loss is of the clean image, at the share of anchors of this point of the run', () => {
    const contrast = {
      ...tinyContrast,
      anchorView: 'target',
      anchorShare: 0.1,
      anchorShareEnd: 0.9,
    } as const;
    tidy(() => {
      const [without, three] = [0, 3].map((weight) => {
        const { student, run, dispose } = start({ ...contrast, weight });
        const { loss } = run(4);
        const gradients = student.parameters().map((parameter) => parameter.grad?.clone());
        dispose();
        return { loss, gradients };
      });
      const twin = new Learner(tinySegmentor, 0, contrast);
      const batch = tinyBatch(4);
      const bank = new PixelContrast(CLASSES, contrast, 3);
      const view = twin.segmentor.call(batch.targetImage);
      noGrad(() => {
        bank.storeSource(twin.segmentor.call(batch.sourceImage), batch.sourceLabel, twin.projection!);
        bank.storeTarget(view, twin.projection!, 0.5);
      });
      const loss = bank.loss(view.features, undefined, view, twin.projection!, 0.5);
      expect(three!.loss).toBeCloseTo(loss.item(), 5);
      let moved = 0;
      for (const [i, expected] of grad(loss, twin.parameters(), { allowUnused: true }).entries()) {
        const [a, b] = [three!.gradients[i], without!.gradients[i]];
        if (!expected || !a || !b) continue;
        const scale = Math.max(1e-2, expected.abs().max().item(), b.abs().max().item());
        expect(a.sub(b).sub(expected.mul(3)).abs().max().item() / scale).toBeLessThan(2e-3);
        moved = Math.max(moved, expected.abs().max().item());
      }
      expect(moved).toBeGreaterThan(1e-2);
      // The share matters here.
      const [few, many] = [0, 1].map((progress) =>
        bank.loss(view.features, undefined, view, twin.projection!, progress).item(),
      );
      expect(Math.abs(few! - many!)).toBeGreaterThan(1e-4);
      bank.dispose();
    });
  });
});

test.each([
  {
    type: 'pixel-to-pixel',
    anchorSelection: 'class-entropy',
    perAnchorNegatives: true,
    negativeDomains: 'source',
    hardSource: true,
    prototypeDomains: 'both',
  },
  {
    type: 'pixel-to-prototype',
    anchorSelection: 'random',
    prototypeDomains: 'target',
    prototypeKind: 'momentum',
  },
  { type: 'hybrid', anchorSelection: 'class-confidence', negativeDomains: 'target', prototypeKind: 'batch' },
] as const)('$type trains: finite losses, no tensor left behind', (chosen) => {
  const before = liveTensors();
  const { run, dispose } = start({ ...tinyContrast, ...chosen });
  run(0);
  const live = liveTensors();
  const { loss } = run(1);
  expect(loss).toBeGreaterThan(0);
  expect(loss).toBeLessThan(100);
  expect(liveTensors()).toBe(live);
  dispose();
  expect(liveTensors()).toBe(before);
});
