// Where and how precisely a step is computed: bfloat16 is near float32, a GPU and graphs give what the CPU gives.

import { cudaAvailable, liveTensors, manualSeed, type Tensor, tidy, withoutWaiting } from '@pgpc/torch';
import { afterEach, describe, expect, test } from 'vitest';
import type { StepLosses } from '../../src/adaptation/step.js';
import { plusContrast } from '../../src/config/contrast.js';
import { denoisers } from '../../src/config/denoise.js';
import { weightings } from '../../src/config/loss-weights.js';
import type { MethodConfig } from '../../src/config/method.js';
import { styles } from '../../src/config/style.js';
import type { TargetBatch } from '../../src/pipeline/batch.js';
import { PixelStore } from '../../src/pipeline/pixels.js';
import { daformerRecipe } from '../../src/recipes/daformer.js';
import { Trainer } from '../../src/training/trainer.js';
import {
  difference,
  memoryDataset,
  randomSample,
  type TinyOptions,
  tinyBatch,
  tinyContrast,
  tinySegmentor,
  tinySelfTraining,
  tinyStep,
  trainUntil,
} from '../support/method.js';

const STEPS = 7;
const featureDistance = { weight: 0.1, classes: [1, 2], minShare: 0.51 };
/** Nothing but the contrast and ClassMix draws at random. */
const plain = { ...tinySelfTraining, jitterProbability: 0, blurProbability: 0 };

const methods: Record<string, MethodConfig> = {
  'source-only': {},
  'self-training': { selfTraining: tinySelfTraining },
  daformer: { selfTraining: tinySelfTraining, featureDistance },
  pgpc: { selfTraining: tinySelfTraining, featureDistance, contrast: tinyContrast },
  'pgpc-plus': {
    selfTraining: tinySelfTraining,
    featureDistance,
    contrast: { ...tinyContrast, ...plusContrast },
  },
  'pgpc after a warm-up': { selfTraining: tinySelfTraining, contrast: { ...tinyContrast, warmup: 0.7 } },
  'pgpc of pixels': { selfTraining: tinySelfTraining, contrast: { ...tinyContrast, type: 'pixel-to-pixel' } },
  'pgpc on the target': {
    selfTraining: tinySelfTraining,
    contrast: { ...tinyContrast, anchorView: 'target' },
  },
  'pgpc with FDA': { selfTraining: tinySelfTraining, contrast: tinyContrast, style: styles.fda },
  'pgpc with DCAN': { selfTraining: tinySelfTraining, contrast: tinyContrast, style: styles.dcan },
  'pgpc denoised by prototypes': {
    selfTraining: tinySelfTraining,
    contrast: tinyContrast,
    denoise: denoisers.prototypes,
  },
  'pgpc denoised by agreement': {
    selfTraining: tinySelfTraining,
    contrast: tinyContrast,
    denoise: denoisers.agreement,
  },
};

const kept = 2;
/** Few batches, so that a step sees its images again. */
const batchesOn = (device: string): TargetBatch[] =>
  Array.from({ length: kept }, (_, seed) => {
    const { sourceImage, sourceLabel, targetImage } = tinyBatch(seed);
    const there = (tensor: Tensor) => tensor.to({ device });
    return {
      sourceImage: there(sourceImage),
      sourceLabel: there(sourceLabel),
      targetImage: there(targetImage),
    };
  });

/** The losses of every step, by name. */
function lossesOf(...args: Parameters<typeof trained>): Record<string, number>[] {
  return trained(...args).losses;
}

/** The losses of every step, and the gradients of the last, by name. */
function trained(
  method: MethodConfig,
  options: TinyOptions,
  around: (step: () => StepLosses, iteration: number) => StepLosses = (step) => step(),
): { losses: Record<string, number>[]; gradients: Map<string, Float32Array> } {
  manualSeed(5);
  return tidy(() => {
    const { student, step, dispose } = tinyStep(method, STEPS, options);
    const batches = batchesOn(options.device ?? 'cpu');
    const losses = Array.from({ length: STEPS }, (_, iteration) => {
      const found = around(() => step.run(batches[iteration % kept]!, iteration), iteration);
      return Object.fromEntries(
        Object.entries(found).flatMap(([name, loss]: [string, Tensor | undefined]) =>
          loss ? [[name, loss.item()]] : [],
        ),
      );
    });
    const gradients = new Map(
      [...student.namedParameters()].flatMap(([name, { grad }]) =>
        grad ? [[name, grad.toArray() as Float32Array] as const] : [],
      ),
    );
    dispose();
    return { losses, gradients };
  });
}

function expectNear(
  seen: Record<string, number>[],
  wanted: Record<string, number>[],
  tolerance: number,
): void {
  for (const [i, losses] of wanted.entries()) {
    expect(Object.keys(seen[i]!)).toEqual(Object.keys(losses));
    for (const [name, value] of Object.entries(losses)) {
      const difference = Math.abs(seen[i]![name]! - value);
      expect(difference, `${name} of step ${i}`).toBeLessThanOrEqual(
        tolerance * Math.max(Math.abs(value), 0.1),
      );
    }
  }
}

describe('in bfloat16', () => {
  test.each(['source-only', 'daformer', 'pgpc', 'pgpc with DCAN'])(
    '%s loses in its first step what it loses in float32, to its digits, and learns on',
    (name) => {
      const [exact, rounded] = [{}, { precision: 'bfloat16' as const }].map((options) =>
        lossesOf(methods[name]!, options),
      );
      const { q: _, ...first } = exact![0]!;
      const { q: __, ...seen } = rounded![0]!;
      expectNear([seen], [first], 3e-2);
      for (const losses of rounded!) for (const value of Object.values(losses)) expect(value).not.toBeNaN();
      expect(rounded).not.toEqual(exact);
    },
  );

  test('activations that are computed again change nothing', () => {
    const [once, twice] = [false, true].map((activationCheckpointing) =>
      lossesOf(methods.pgpc!, { precision: 'bfloat16', activationCheckpointing }),
    );
    expectNear(twice!, once!, 1e-5);
  });

  test('a run in it resumes from its checkpoint, and says what it is', async () => {
    const experiment = daformerRecipe({
      method: methods.pgpc!,
      segmentor: tinySegmentor,
      iterations: 2,
      crop: { width: 32, height: 32 },
      rareClasses: undefined,
      precision: 'bfloat16',
    });
    const data = () => {
      const samples = [1, 2].map((seed) => randomSample(48, 40, seed));
      return {
        source: new PixelStore(memoryDataset(samples)),
        target: new PixelStore(memoryDataset(samples)),
      };
    };
    const trainer = new Trainer(experiment, { ...data(), workers: 0 });
    expect(trainer.experiment.precision).toBe('bfloat16');
    await trainer.run();
    expect([...trainer.learner.stateDict().values()].map(({ dtype }) => dtype)).not.toContain('bfloat16');
    await trainer.dispose();
  });
});

describe.runIf(cudaAvailable())('on a GPU', () => {
  afterEach(() => {
    // One that failed may have left something behind.
    if (liveTensors() > 1e5) throw new Error('tensors are left');
  });

  test('what is drawn by nobody is what the CPU computes', () => {
    const method = { selfTraining: plain, featureDistance };
    // The share of certain pixels follows from which classes are mixed, which is drawn.
    const [here, there] = ['cpu', 'cuda'].map((device) => lossesOf(method, { device, graphs: false })[0]!);
    for (const name of ['source', 'featureDistance', 'q']) {
      expect(Math.abs(here![name]! - there![name]!), name).toBeLessThan(1e-4);
    }
  });

  describe.each(Object.entries(methods))('%s', (_, method) => {
    test('graphs compute what single operators do', () => {
      // So slow that the weights' own differences do not show, which the sign of a gradient near 0 makes.
      const [single, graphs] = [false, true].map((on) =>
        trained(method, { device: 'cuda', graphs: on, lr: 1e-6 }),
      );
      expectNear(graphs!.losses, single!.losses, 1e-3);
      expect([...graphs!.gradients.keys()]).toEqual([...single!.gradients.keys()]);
      for (const [name, wanted] of single!.gradients) {
        const seen = graphs!.gradients.get(name)!;
        const size = Math.max(...wanted.map(Math.abs), 1e-4);
        expect(difference(seen, wanted) / size, name).toBeLessThan(2e-2);
      }
    });

    test('no operator makes the program wait for the GPU', () => {
      for (const graphs of [false, true]) {
        lossesOf(method, { device: 'cuda', graphs }, (step, iteration) =>
          // The first steps make what later ones use; recording waits for the GPU on purpose.
          iteration < 4 || iteration === 5 ? step() : withoutWaiting(step),
        );
      }
    });

    test('in bfloat16 it stays near float32', () => {
      const [exact, rounded] = ([undefined, 'bfloat16'] as const).map(
        (precision) => lossesOf(method, { device: 'cuda', precision })[0]!,
      );
      for (const name of ['source', 'target', 'featureDistance', 'contrast'].filter((key) => key in exact!)) {
        expect(Math.abs(rounded![name]! - exact![name]!), name).toBeLessThan(
          3e-2 * Math.max(exact![name]!, 1),
        );
      }
    });
  });

  test('activation checkpointing works inside graphs', () => {
    const [without, with_] = [false, true].map((activationCheckpointing) =>
      lossesOf(methods.pgpc!, { device: 'cuda', activationCheckpointing }),
    );
    expectNear(with_!, without!, 2e-3);
  });

  test('weights that set themselves work without graphs', () => {
    const method = { ...methods.pgpc!, weighting: weightings['gradient-norm'] };
    for (const losses of lossesOf(method, { device: 'cuda' })) expect(losses.total).not.toBeNaN();
  });

  test('no tensor is left behind', () => {
    const before = liveTensors();
    lossesOf(methods['pgpc after a warm-up']!, { device: 'cuda' });
    expect(liveTensors()).toBe(before);
  });

  test('a trainer resumes from a checkpoint of the GPU, there and on the CPU', async () => {
    const { mkdtempSync } = await import('node:fs');
    const { tmpdir } = await import('node:os');
    const { join } = await import('node:path');
    const folder = mkdtempSync(join(tmpdir(), 'pgpc-gpu-'));
    const experiment = daformerRecipe({
      method: methods.pgpc!,
      segmentor: { ...tinySegmentor, dropout: 0.1, dropPath: 0.1 },
      iterations: 8,
      crop: { width: 32, height: 32 },
      rareClasses: undefined,
    });
    const samples = [1, 2, 3].map((seed) => randomSample(48, 40, seed));
    const start = (device: string) =>
      new Trainer(
        experiment,
        {
          source: new PixelStore(memoryDataset(samples)),
          target: new PixelStore(memoryDataset(samples)),
          workers: 0,
        },
        { device, graphs: false },
      );
    const losses = async (trainer: Trainer, until: number) =>
      (await trainUntil(trainer, until)).map((values) => values['loss/total']!);
    const whole = start('cuda');
    const all = await losses(whole, 8);
    const first = start('cuda');
    const begun = await losses(first, 4);
    first.save(folder);
    const second = start('cuda');
    second.restore(folder);
    const rest = await losses(second, 8);
    for (const [i, value] of [...begun, ...rest].entries())
      expect(Math.abs(value - all[i]!)).toBeLessThan(5e-3);
    const here = start('cpu');
    here.restore(folder);
    for (const value of await losses(here, 8)) expect(value).not.toBeNaN();
    for (const trainer of [whole, first, second, here]) await trainer.dispose();
  });
});
