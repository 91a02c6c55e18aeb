// Registered parts behind the step's hook: registered, validated, run, logged and saved as the library's are.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { grad, keep, liveTensors, noGrad, ops, type Tensor, tensor, tidy } from '@pgpc/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { Learner } from '../../src/adaptation/learner.js';
import { registerPart } from '../../src/adaptation/parts.js';
import { type Experiment, parseExperiment } from '../../src/config/experiment.js';
import { field } from '../../src/config/fields.js';
import { type MethodConfig, methodConfig, methodNames, registerMethod } from '../../src/config/method.js';
import { describeParts } from '../../src/config/parts.js';
import { withSettings } from '../../src/config/settings.js';
import type { SegmentorOutput } from '../../src/models/segmentor.js';
import { daformerRecipe } from '../../src/recipes/daformer.js';
import { Trainer } from '../../src/training/trainer.js';
import {
  randomStore,
  tinyBatch,
  tinyContrast,
  tinySegmentor,
  tinySelfTraining,
  tinyStep,
  trainUntil,
} from '../support/method.js';

const seen: number[][] = [];
/** A loss that pulls logits to zero, and counts its steps in a state of its own. */
registerPart({
  name: 'small',
  text: 'small logits',
  options: z.strictObject({
    weight: field(z.number().min(0), 'weight of the squared logits', 0.25),
    power: field(z.number().int().min(2), 'power of the logits', 2),
  }),
  create: ({ weight, power }) => {
    const steps = tensor([0]);
    return {
      mixedLoss(mixed) {
        const { stages: _, detail: __, ...maps } = mixed;
        seen.push(...Object.values(maps).map(({ shape }) => [...shape]));
        noGrad(() => steps.add_(1));
        return mixed.logits.pow(power).mean().mul(weight);
      },
      stateDict: () => new Map([['steps', steps]]),
      loadStateDict: (state) => noGrad(() => void steps.copy_(state.get('steps')!)),
      dispose: () => steps.dispose(),
    };
  },
});
/** Pseudo-labels that are all of class 1. */
registerPart({
  name: 'one',
  text: 'one class',
  options: z.strictObject({}),
  create: () => ({
    pseudoLabels: ({ logits }, [height, width]) => {
      const weight = ops.ones([logits.shape[0]!, height, width]);
      return { label: weight.to('int64'), weight: weight.mul(0.5), q: tensor(0.5) };
    },
  }),
});
/** A loss on both images, and the images that it saw. */
const pulled: Tensor[] = [];
registerPart({
  name: 'pull',
  text: 'small features of the source, small logits of the mixed image',
  options: z.strictObject({ weight: field(z.number().min(0), 'weight of both', 0.5) }),
  create: ({ weight }) => ({
    sourceLoss({ image, label, features, logits, stages }) {
      expect([label.shape, logits.shape, stages.length]).toEqual([[2, 32, 32], [2, 5, 8, 8], 4]);
      pulled.push(keep(image.clone()));
      return features.square().mean().mul(weight);
    },
    mixedLoss({ image, logits }) {
      pulled.push(keep(image.clone()));
      return logits.square().mean().mul(weight);
    },
  }),
});
/** A loss on the source alone. */
registerPart({
  name: 'source',
  text: 'small logits of the source',
  options: z.strictObject({}),
  create: () => ({ sourceLoss: ({ logits }) => logits.square().mean() }),
});
/** Weights of L_t and L_c. */
registerPart({
  name: 'steer',
  text: 'weights by hand',
  options: z.strictObject({}),
  create: () => ({ lossWeights: () => ({ target: tensor(0.4), contrast: tensor(0.7) }) }),
});
registerMethod('small-and-one', 'self-training', { small: { weight: 0.5 }, one: {} });

const own = (overrides: Partial<Experiment> = {}) =>
  daformerRecipe({
    segmentor: tinySegmentor,
    method: methodConfig('small-and-one', { selfTraining: tinySelfTraining }),
    crop: { width: 32, height: 32 },
    iterations: 4,
    seed: 2,
    ...overrides,
    rareClasses: undefined,
  });

const folder = mkdtempSync(join(tmpdir(), 'pgpc-parts-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('options of registered parts', () => {
  test('have their defaults where they are left out, and are part of the experiment', () => {
    expect(own().method.parts).toEqual({ small: { weight: 0.5, power: 2 }, one: {} });
    expect(parseExperiment(own())).toEqual(own());
    expect(methodNames.at(-1)).toBe('small-and-one');
  });

  test('are set by dotted keys, and shown for help', () => {
    const changed = withSettings(own(), { 'method.parts.small.power': 4 });
    expect(changed.method.parts!.small).toEqual({ weight: 0.5, power: 4 });
    expect(describeParts()).toContain('method.parts.small.weight (0.25): weight of the squared logits');
  });

  test.each([
    [{ 'method.parts.small.power': 1 }, /parts\.small\.power/],
    [{ 'method.parts.small.powr': 1 }, /did you mean 'power'/],
    [{ 'method.parts.smal.power': 1 }, /did you mean 'small'/],
  ])('are refused by name: %o', (settings, message) => {
    expect(() => withSettings(own(), settings)).toThrow(message);
  });

  test('of a part that nobody registered name the registered ones, and how one is loaded', () => {
    const experiment = { ...own(), method: { ...own().method, parts: { smal: {} } } };
    expect(() => parseExperiment(experiment)).toThrow(
      /no part 'smal' \(did you mean 'small'\?\); registered are small, one, pull, source, steer. --plugin/,
    );
  });

  test('need self-training', () => {
    expect(() => parseExperiment({ ...own(), method: { parts: { one: {} } } })).toThrow(
      'parts need selfTraining',
    );
  });

  test('names are taken once', () => {
    const part = { name: 'one', text: '', options: z.strictObject({}), create: () => ({}) };
    expect(() => registerPart(part)).toThrow("there is a part 'one' already");
    expect(() => registerMethod('pgpc', 'daformer', {})).toThrow("there is a method 'pgpc' already");
    expect(() => methodConfig('toString')).toThrow("there is no method 'toString'; there are source-only,");
  });

  test('are added to what the base has: its contrast too', () => {
    registerMethod('plus-and-one', 'pgpc-plus', { one: {} });
    expect(methodConfig('plus-and-one')).toEqual({ ...methodConfig('pgpc-plus'), parts: { one: {} } });
  });

  test.each(['source-only', 'pgcp', 'toString'])('are refused on %s, where they would be dropped', (base) => {
    expect(() => registerMethod('lost', base as 'daformer', { one: {} })).toThrow(
      `the method 'lost' adds parts to one with self-training: '${base}' is not one of self-training, daformer, pgpc`,
    );
    expect(methodNames).not.toContain('lost');
  });
});

describe('a step with parts of its own', () => {
  test('adds their loss and takes their pseudo-labels', () => {
    const before = liveTensors();
    const { step, dispose } = tinyStep(own().method, 4);
    tidy(() => {
      const batch = tinyBatch(1);
      seen.length = 0;
      const losses = step.run(batch, 0);
      // image, mask, label, weight, features, logits
      const pixels = [2, 32, 32];
      expect(seen).toEqual([[2, 3, 32, 32], pixels, pixels, pixels, [2, 16, 8, 8], [2, 5, 8, 8]]);
      const parts = ['source', 'target', 'parts.small'] as const;
      const sum = parts.reduce((total, name) => total + (losses[name] as Tensor).item(), 0);
      expect(losses.total.item()).toBeCloseTo(sum, 5);
      expect((losses['parts.small'] as Tensor).item()).toBeGreaterThan(0);
      expect(losses.q!.item()).toBe(0.5);
    });
    dispose();
    expect(liveTensors()).toBe(before);
  });

  /** A step's losses as numbers, and copies of the gradients that it leaves, in the order of the parameters. */
  function stepped(method: MethodConfig, steps = 1) {
    const { student, step, dispose } = tinyStep(method, 4);
    const all = Array.from({ length: steps }, (_, i) =>
      tidy(() =>
        Object.fromEntries(
          Object.entries(step.run(tinyBatch(1 + i), i)).map(([name, loss]) => [
            name,
            (loss as Tensor | undefined)?.item(),
          ]),
        ),
      ),
    );
    const gradients = student.parameters().map(({ grad }) => grad?.clone());
    dispose();
    return { losses: all.at(-1)!, gradients };
  }

  test('adds the losses of one part on both images: their sum is logged, their gradients are there', () => {
    tidy(() => {
      pulled.length = 0;
      const plain = stepped({ selfTraining: tinySelfTraining });
      const method = { selfTraining: tinySelfTraining, parts: { pull: { weight: 2 }, source: {} } };
      const { losses, gradients } = stepped(method);
      const twin = new Learner(tinySegmentor, 3);
      const [source, mixed] = pulled.map((image) => twin.segmentor.call(image)) as [
        SegmentorOutput,
        SegmentorOutput,
      ];
      const [onSource, onMixed] = [source.features, mixed.logits].map((x) => x.square().mean().mul(2)) as [
        Tensor,
        Tensor,
      ];
      const alone = source.logits.square().mean();
      expect(losses['parts.pull']).toBeCloseTo(onSource.item() + onMixed.item(), 5);
      expect(onSource.item()).toBeGreaterThan(1e-3);
      expect(onMixed.item()).toBeGreaterThan(1e-3);
      expect(losses['parts.source']).toBeCloseTo(alone.item(), 5);
      const sum = losses.source! + losses.target! + losses['parts.pull']! + losses['parts.source']!;
      expect(losses.total).toBeCloseTo(sum, 5);
      expect(losses.source).toBe(plain.losses.source);
      expect(losses.target).toBe(plain.losses.target);

      const names = [...twin.namedParameters().keys()];
      const own = grad(onSource.add(onMixed).add(alone), twin.parameters(), { allowUnused: true });
      for (const [i, name] of names.entries()) {
        const added = gradients[i]!.sub(plain.gradients[i]!);
        const error = own[i] ? added.sub(own[i]) : added;
        const scale = Math.max(1e-2, gradients[i]!.abs().max().item());
        expect(error.abs().max().item() / scale, name).toBeLessThan(1e-3);
      }
      for (const image of pulled) image.dispose();
    });
  });

  test('weighs the contrast of the source and of the target alike', () => {
    const contrast = { ...tinyContrast, anchorDomains: 'both' } as const;
    const method = { selfTraining: tinySelfTraining, contrast, parts: { steer: {} } };
    const { losses } = tidy(() => stepped(method, 2));
    expect(losses.contrastWeight).toBeCloseTo(0.7, 6);
    expect(losses.contrast).toBeGreaterThan(1);
    expect(losses.total).toBeCloseTo(losses.source! + losses.target! + 0.7 * losses.contrast!, 5);
  });

  test('is logged, saved and restored with their state', async () => {
    const data = { source: randomStore([1, 2]), target: randomStore([3, 4]), workers: 0 };
    const whole = new Trainer(own(), data);
    whole.step.adoptStudent();
    const all = await trainUntil(whole, 4);
    const first = new Trainer(own(), data);
    first.step.adoptStudent();
    await trainUntil(first, 2);
    first.save(folder);
    const second = new Trainer(own(), data);
    second.restore(folder);
    expect(await trainUntil(second, 4)).toEqual(all.slice(2));
    const steps = second.step.parts.state().get('parts.small')!.stateDict().get('steps')!;
    expect(steps.item()).toBe(4);
    expect(Object.keys(all[0]!)).toContain('loss/small');
    for (const trainer of [whole, first, second]) await trainer.dispose();
  });
});
