// The contrast's switches in the training step: whose features the anchors have, how far the run is, and what margins
// leave out.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { grad, liveTensors, noGrad, ops, type Tensor, tensor, tidy } from '@pgpc/torch';
import { describe, expect, test } from 'vitest';
import { PixelContrast } from '../../../src/adaptation/contrast/contrast.js';
import { Learner } from '../../../src/adaptation/learner.js';
import { AdaptationStep } from '../../../src/adaptation/step.js';
import {
  anchorViews,
  type ContrastOptions,
  contrastedFeatures,
  domainChoices,
} from '../../../src/config/contrast.js';
import { micMaskedConsistency } from '../../../src/config/masked-consistency.js';
import { methodConfig } from '../../../src/config/method.js';
import { daformerRecipe } from '../../../src/recipes/daformer.js';
import { buildOptimizer } from '../../../src/training/optimizer.js';
import { Trainer } from '../../../src/training/trainer.js';
import {
  CLASSES,
  digests,
  normal,
  randomStore,
  tinyBatch,
  tinyContrast,
  tinySegmentor,
  tinySelfTraining,
  tinyStep,
  trainUntil,
} from '../../support/method.js';

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

/** Encoder features, anchors in both domains, negatives of similar classes and layer norm together. */
const everything = {
  ...tinyContrast,
  features: 'encoder',
  anchorDomains: 'both',
  negativeSampling: 'class-similarity',
  norm: 'layer',
} as const satisfies ContrastOptions;

describe("the anchors' domains", () => {
  test.each(domainChoices)(
    '%s: no further pass of the student, no loss before the warm-up',
    (anchorDomains) => {
      const { run, dispose } = start({ ...tinyContrast, anchorDomains, warmup: 0.5 });
      const steps = [3, 4].map(run);
      expect(steps.map(({ passes }) => passes)).toEqual([2, 2]);
      expect(steps.map(({ loss }) => loss > 0)).toEqual([false, true]);
      dispose();
    },
  );

  test('the source of the very first step has nothing to be contrasted with: banks fill behind it', () => {
    const { run, dispose } = start({ ...tinyContrast, anchorDomains: 'source' });
    const { loss } = run(0);
    expect(loss).toBe(0);
    expect(run(1).loss).toBeGreaterThan(0);
    dispose();
  });
});

describe('the contrasted features', () => {
  test.each(contrastedFeatures)('%s: what the gradient of L_c alone reaches', (features) => {
    tidy(() => {
      const options = { ...tinyContrast, features };
      const learner = new Learner(tinySegmentor, 1, options);
      const contrast = new PixelContrast(CLASSES, options, 3);
      const batch = tinyBatch(1);
      const source = learner.segmentor.call(batch.sourceImage);
      const target = learner.segmentor.call(batch.targetImage);
      const [ofSource, ofTarget] = [source, target].map((pass) => learner.projection!.input(pass)) as [
        Tensor,
        Tensor,
      ];
      const view = { features: ofTarget, logits: target.logits };
      contrast.storeSource(
        { features: ofSource, logits: source.logits },
        batch.sourceLabel,
        learner.projection!,
      );
      contrast.storeTarget(view, learner.projection!);
      const losses = [
        contrast.sourceLoss(ofSource, batch.sourceLabel, learner.projection!),
        contrast.loss(ofTarget, undefined, view, learner.projection!),
      ];
      const parameters = [...learner.namedParameters()];
      for (const loss of losses) {
        const gradients = grad(
          loss,
          parameters.map(([, value]) => value),
          { allowUnused: true, retainGraph: true },
        );
        const reached = parameters.flatMap(([name], i) =>
          gradients[i] && gradients[i].abs().max().item() > 0 ? [name] : [],
        );
        const within = (prefix: string) => reached.some((name) => name.startsWith(prefix));
        for (const stage of [1, 2, 3, 4]) {
          expect(within(`segmentor.backbone.patch_embed${stage}.`)).toBe(true);
          expect(within(`segmentor.backbone.block${stage}.`)).toBe(true);
        }
        expect(within('projection.')).toBe(true);
        // The norm after the last stage is a part of what the encoder gives.
        expect(within('segmentor.backbone.norm4.')).toBe(true);
        expect(within('segmentor.decode_head.')).toBe(features === 'decoder');
        expect(within('segmentor.decode_head.conv_seg.')).toBe(false);
      }
      contrast.dispose();
    });
  });

  test('of the encoder are read by a part of the first layer for each stage, in student and teacher', () => {
    const { student, step, dispose } = start(everything);
    const { channels } = student.segmentor.backbone;
    for (const learner of [student, step.parts.teacher!.network]) {
      const shapes = learner.projection!.stages.items.map(({ weight }) => weight.shape);
      expect(shapes).toEqual(channels.map((width) => [tinyContrast.width, width]));
      expect(learner.projection!.norms.items).toHaveLength(1);
    }
    dispose();
  });
});

describe('the margins of the crop', () => {
  // Rows of features are 4 pixels high: 2, 3 and 4 touch neither the upper 5 nor the lower 9 of 32 pixels.
  const margins = { ignoreTop: 5, ignoreBottom: 9 };
  const INSIDE = [2, 3, 4];
  const [WIDTH, ROWS] = [16, 8];

  /** Features that tell their row: of unit length along the axis of that number. (2, 16, 8, 8) */
  const rowsFrom = (first: number) =>
    tidy(() => {
      const rows = Array.from({ length: WIDTH }, (_, d) =>
        Array.from({ length: ROWS }, (_, y) => Number(d === first + y)),
      );
      return tensor(rows).view([1, WIDTH, ROWS, 1]).expand([2, WIDTH, ROWS, ROWS]).contiguous();
    });

  /** The axes that a bank's rows lie along. */
  function axesIn({ rows, filled }: { rows: Tensor; filled: Tensor }): number[] {
    const counts = filled.tolist() as number[];
    const axes = rows.argmax(2).tolist() as number[][];
    return [...new Set(axes.flatMap((own, c) => own.slice(0, counts[c])))].sort((a, b) => a - b);
  }

  test.each(anchorViews)(
    'no anchor, positive or negative comes from there; anchors of the view %s',
    (anchorView) => {
      tidy(() => {
        const contrast: ContrastOptions = {
          ...tinyContrast,
          type: 'pixel-to-pixel',
          anchorView,
          anchorSelection: 'random',
          prototypeDomains: 'both',
          rank: 1,
          anchors: 200,
          enqueue: 200,
          bankCapacity: 2000,
          width: WIDTH,
          depth: 1,
        };
        const selfTraining = { ...tinySelfTraining, ...margins };
        const maskedConsistency = anchorView === 'masked' ? micMaskedConsistency : undefined;
        const { student, step, dispose } = tinyStep({ selfTraining, contrast, maskedConsistency }, TOTAL);
        const [layer] = student.projection!.layers.items;
        noGrad(() => {
          layer!.weight.copy_(ops.eye(WIDTH));
          layer!.bias!.zero_();
        });
        // Networks that give what they are told: the teacher the target's rows 0 to 7, the student the source's 8 to 15.
        const logits = (seed: number) => normal([2, CLASSES, ROWS, ROWS], seed);
        step.parts.teacher!.network.segmentor.call = () => ({
          features: rowsFrom(0),
          logits: logits(1),
          stages: [],
        });
        const passes = [
          rowsFrom(ROWS),
          normal([2, WIDTH, ROWS, ROWS], 2),
          normal([2, WIDTH, ROWS, ROWS], 3),
        ].map((features, i) => ({
          features: features.requiresGrad_(),
          logits: logits(4 + i).requiresGrad_(),
          stages: [],
        }));
        let pass = 0;
        student.segmentor.call = () => passes[pass++]!;
        const { contrast: loss } = step.run(tinyBatch(1), 0);
        expect(loss!.item()).toBeGreaterThan(0);

        // The source has no margins: all its rows are there.
        const expected = [...INSIDE, ...Array.from({ length: ROWS }, (_, y) => ROWS + y)];
        for (const { module } of step.parts.contrast!.stores) {
          expect(axesIn(module as unknown as { rows: Tensor; filled: Tensor })).toEqual(expected);
        }
        // Only the contrast reads features here, so those with a gradient are the anchors'.
        const anchors = anchorView === 'mixed' ? 1 : 2;
        const byRow = passes[anchors]!.features.grad!.abs().sum([0, 1, 3]).tolist() as number[];
        expect(byRow.flatMap((sum, y) => (sum > 0 ? [y] : []))).toEqual(INSIDE);
        expect(passes.filter(({ features }) => features.grad)).toHaveLength(1);
        dispose();
      });
    },
  );

  test('that leave nothing of the crop are refused where pixels are contrasted', () => {
    const selfTraining = { ...tinySelfTraining, ignoreTop: 20, ignoreBottom: 12 };
    const [plain, pgpc] = [{ selfTraining }, { selfTraining, contrast: tinyContrast }].map((method) =>
      tinyStep(method, TOTAL),
    ) as [ReturnType<typeof tinyStep>, ReturnType<typeof tinyStep>];
    tidy(() => {
      expect(Number.isFinite(plain.step.run(tinyBatch(1), 0).total.item())).toBe(true);
      const run = () => pgpc.step.run(tinyBatch(1), 0);
      expect(run).toThrow(RangeError);
      expect(run).toThrow(
        'margins of 20 and 12 rows (ignoreTop, ignoreBottom) leave nothing of a crop of 32',
      );
    });
    for (const { dispose } of [plain, pgpc]) dispose();
  });
});

test('encoder features, anchors in both domains and similar classes resume from a checkpoint', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pgpc-contrast-'));
  const experiment = daformerRecipe({
    segmentor: { ...tinySegmentor, dropout: 0.1, dropPath: 0.1 },
    method: methodConfig('pgpc', {
      selfTraining: { ...tinySelfTraining, ignoreTop: 4, ignoreBottom: 5 },
      contrast: { ...everything, warmup: 0.2 },
      featureDistance: false,
    }),
    crop: { width: 32, height: 32 },
    iterations: 5,
    seed: 2,
    rareClasses: undefined,
  });
  const data = { source: randomStore([1, 2]), target: randomStore([3, 4]), workers: 0 };
  const state = (trainer: Trainer) =>
    [...trainer.step.parts.contrast!.stateDict()].map(([name, value]) => [name, value.tolist()]);
  try {
    const [whole, first, second] = [1, 2, 3].map(() => new Trainer(experiment, data)) as [
      Trainer,
      Trainer,
      Trainer,
    ];
    for (const trainer of [whole, first]) tidy(() => trainer.step.adoptStudent());
    const all = await trainUntil(whole, 5);
    await trainUntil(first, 3);
    first.save(folder);
    second.restore(folder);
    expect(await trainUntil(second, 5)).toEqual(all.slice(3));
    expect(all.map((values) => values['loss/contrast']! > 0)).toEqual([false, true, true, true, true]);
    expect(digests(second.step.student)).toEqual(digests(whole.step.student));
    expect(tidy(() => state(second))).toEqual(tidy(() => state(whole)));
    for (const trainer of [whole, first, second]) await trainer.dispose();
  } finally {
    rmSync(folder, { recursive: true });
  }
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
  { type: 'hybrid', ...everything },
  {
    type: 'pixel-to-pixel',
    anchorDomains: 'source',
    features: 'encoder',
    negativeSampling: 'class-similarity',
    perAnchorNegatives: true,
  },
] as const)('$type trains: finite losses, no tensor left behind (%#)', (chosen) => {
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
