// Denoising of pseudo-labels: each strategy against loops over pixels and classes, and its place in the training step.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { alone, full, liveTensors, type Tensor, tensor, tidy, type World } from '@pgpc/torch';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import type { TeacherView } from '../../src/adaptation/contrast/contrast.js';
import { Denoiser, trusted } from '../../src/adaptation/denoise/denoise.js';
import { ClassPrototypes } from '../../src/adaptation/denoise/prototypes.js';
import { Learner } from '../../src/adaptation/learner.js';
import { AdaptationStep } from '../../src/adaptation/step.js';
import { type DenoiseOptions, denoiseNames, denoisers } from '../../src/config/denoise.js';
import { type MethodConfig, methodConfig, methodSchema } from '../../src/config/method.js';
import { agreement, viewsOf } from '../../src/experiments/agreement.js';
import { Rng } from '../../src/random.js';
import { daformerRecipe } from '../../src/recipes/daformer.js';
import { buildOptimizer } from '../../src/training/optimizer.js';
import { Trainer } from '../../src/training/trainer.js';
import {
  CLASSES,
  difference,
  differing,
  dot,
  int64,
  matrix,
  normal,
  randomStore,
  slowBilinear,
  tinyBatch,
  tinyContrast,
  tinySegmentor,
  tinySelfTraining,
  trainUntil,
  uniform,
} from '../support/method.js';

const seeds = fc.integer({ min: 0, max: 1e6 });
const unit = (row: readonly number[]) => row.map((x) => x / Math.hypot(...row));
const distance = (a: readonly number[], b: readonly number[]) => Math.hypot(...a.map((x, i) => x - b[i]!));
const neverAsked = (): Tensor => {
  throw new Error('no further view is needed');
};

function slowSoftmax(scores: readonly number[]): number[] {
  const powers = scores.map((score) => Math.exp(score - Math.max(...scores)));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

/** Prototypes and batches seen after updates with (features, label) each, by loops. */
function slowPrototypes(batches: [number[][], number[]][], classes: number, momentum: number) {
  const centres: number[][] = Array.from({ length: classes }, () => batches[0]![0][0]!.map(() => 0));
  const seen: number[] = Array(classes).fill(0);
  for (const [features, label] of batches) {
    for (let k = 0; k < classes; k++) {
      const own = features.filter((_, i) => label[i] === k).map(unit);
      if (own.length === 0) continue;
      seen[k]!++;
      const kept = Math.min(1 - 1 / seen[k]!, momentum);
      centres[k] = centres[k]!.map(
        (x, d) => kept * x + (1 - kept) * (own.reduce((sum, row) => sum + row[d]!, 0) / own.length),
      );
    }
  }
  return { centres, seen };
}

describe('ClassPrototypes', () => {
  test('are the running means of unit features, and weigh by distance, as in loops', () => {
    fc.assert(
      fc.property(seeds, fc.double({ min: 0, max: 0.99, noNaN: true }), (seed, momentum) =>
        tidy(() => {
          const [classes, pixels, width, temperature] = [6, 9, 4, 0.3];
          const prototypes = new ClassPrototypes(classes, width, { temperature, momentum });
          const rng = new Rng(seed, 'labels');
          const batches = Array.from({ length: 5 }, (_, i): [Tensor, number[]] => [
            normal([pixels, width], seed + i).mul(3),
            // The last class is never predicted, others are in some batches only.
            Array.from({ length: pixels }, () => rng.below(2) + rng.below(classes - 2)),
          ]);
          for (const [features, label] of batches) prototypes.update(features, int64(label));
          const slow = slowPrototypes(
            batches.map(([features, label]) => [matrix(features), label]),
            classes,
            momentum,
          );
          expect(difference(prototypes.batches.toArray(), slow.seen)).toBe(0);
          expect(slow.seen[classes - 1]).toBe(0);
          expect(difference(prototypes.centres.toArray(), slow.centres.flat())).toBeLessThan(1e-5);

          const features = normal([7, width], seed + 9).mul(0.1);
          const known = slow.seen.flatMap((n, k) => (n > 0 ? [k] : []));
          const expected = matrix(features).map((row) => {
            const omega = slowSoftmax(known.map((k) => -distance(unit(row), slow.centres[k]!) / temperature));
            return slow.seen.map((n, k) => (n > 0 ? omega[known.indexOf(k)]! : 1 / known.length));
          });
          expect(difference(prototypes.logWeights(features).exp().toArray(), expected.flat())).toBeLessThan(
            1e-4,
          );
        }),
      ),
      { numRuns: 30 },
    );
  });

  test('before any batch all weights are the same', () => {
    tidy(() => {
      const prototypes = new ClassPrototypes(3, 4, { temperature: 0.1, momentum: 0.9 });
      expect(difference(prototypes.logWeights(normal([5, 4], 1)).toArray(), Array(15).fill(0))).toBe(0);
    });
  });

  test('are the same on every rank, of all parts of the batch', () => {
    tidy(() => {
      // Another rank that has the same pixels: every sum is twice the own one.
      const twice: World = { ...alone, size: 2, sum: (x) => x.mul(2) };
      const options = { temperature: 0.3, momentum: 0.9 };
      const [whole, part] = [new ClassPrototypes(3, 4, options), new ClassPrototypes(3, 4, options, twice)];
      for (let i = 0; i < 3; i++) {
        whole.update(normal([6, 4], i).repeat([2, 1]), int64([0, 1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1]));
        part.update(normal([6, 4], i), int64([0, 1, 1, 0, 1, 1]));
      }
      expect(difference(part.centres.toArray(), whole.centres.toArray())).toBeLessThan(1e-6);
      expect(difference(part.batches.toArray(), [3, 3, 0])).toBe(0);
    });
  });
});

describe('the strategy prototypes', () => {
  const options: DenoiseOptions = { ...denoisers.prototypes, temperature: 0.2, momentum: 0.9 };
  const view = (seed: number, [n, h, w] = [2, 3, 2], width = 4): TeacherView => ({
    features: normal([n!, width, h!, w!], seed),
    logits: normal([n!, CLASSES, h!, w!], seed + 1).mul(2),
  });

  test('multiplies probabilities by the weights of earlier batches, as in loops; rows sum to 1', () => {
    fc.assert(
      fc.property(seeds, (seed) =>
        tidy(() => {
          const denoiser = new Denoiser(options, CLASSES, 4);
          const pixels = (map: Tensor) => matrix(map.permute([0, 2, 3, 1]).flatten(0, 2));
          const [before, now] = [view(seed), view(seed + 2)];
          const largest = (row: number[]) => row.indexOf(Math.max(...row));
          denoiser.refine(before, normal([2, 3, 12, 8], 1), neverAsked);
          const { labels, trust } = denoiser.refine(now, normal([2, 3, 12, 8], 1), neverAsked);
          const { centres, seen } = slowPrototypes(
            [[pixels(before.features), pixels(before.logits).map(largest)]],
            CLASSES,
            0.9,
          );
          const features = pixels(now.features);
          const known = seen.flatMap((n, k) => (n > 0 ? [k] : []));
          const expected = pixels(now.logits).map((row, i) => {
            const omega = slowSoftmax(known.map((k) => -distance(unit(features[i]!), centres[k]!) / 0.2));
            const weight = seen.map((n, k) => (n > 0 ? omega[known.indexOf(k)]! : 1 / known.length));
            const product = slowSoftmax(row).map((p, k) => p * weight[k]!);
            const total = product.reduce((sum, p) => sum + p, 0);
            return product.map((p) => p / total);
          });
          const probabilities = pixels(labels.logits).map((row) => row.map(Math.exp));
          expect(difference(probabilities.flat(), expected.flat())).toBeLessThan(1e-4);
          for (const row of probabilities) expect(row.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 5);
          expect(labels.features).toBe(now.features);
          expect(trust).toBeUndefined();
          denoiser.dispose();
        }),
      ),
      { numRuns: 20 },
    );
  });

  test('the first batch, and prototypes that are all alike, leave probabilities as they are', () => {
    tidy(() => {
      const denoiser = new Denoiser(options, CLASSES, 4);
      const same = () => {
        const given = view(7);
        const { labels } = denoiser.refine(given, normal([2, 3, 12, 8], 1), neverAsked);
        expect(difference(labels.logits.exp().toArray(), given.logits.softmax(1).toArray())).toBeLessThan(
          1e-6,
        );
      };
      same();
      denoiser.prototypes!.centres.fill_(0.25);
      denoiser.prototypes!.batches.fill_(3);
      same();
    });
  });

  test('corrects labels that are wrong against the features', () => {
    tidy(() => {
      const rng = new Rng(5, 'truth');
      const [pixels, width] = [400, 8];
      const denoiser = new Denoiser(options, CLASSES, width);
      const means = matrix(normal([CLASSES, width], 3).mul(2));
      const batch = (seed: number) => {
        const truth = Array.from({ length: pixels }, () => rng.below(CLASSES));
        // Three in ten pixels are given to a random class, not surely; features tell the classes apart.
        const given = truth.map((k) => (rng.below(10) < 3 ? rng.below(CLASSES) : k));
        const logits = given.map((k) => Array.from({ length: CLASSES }, (_, c) => (c === k ? 1 : 0)));
        const features = tensor(truth.map((k) => means[k]!)).add(normal([pixels, width], seed).mul(0.3));
        const map = (rows: Tensor) => rows.t().reshape([1, -1, 20, 20]);
        return { truth, given, view: { features: map(features), logits: map(tensor(logits)) } };
      };
      const right = (labels: readonly number[], truth: readonly number[]) =>
        labels.filter((k, i) => k === truth[i]).length / pixels;
      for (let i = 0; i < 3; i++) denoiser.refine(batch(i).view, normal([1, 3, 80, 80], 1), neverAsked);
      const { truth, given, view } = batch(9);
      const { labels } = denoiser.refine(view, normal([1, 3, 80, 80], 1), neverAsked);
      expect(right(given, truth)).toBeLessThan(0.8);
      expect(right(labels.logits.argmax(1).flatten().tolist() as number[], truth)).toBeGreaterThan(0.97);
    });
  });
});

describe('the strategy agreement', () => {
  test('means probabilities and trusts by exp(-KL), as in loops', () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 2, max: 4 }), (seed, count) =>
        tidy(() => {
          const shape = [2, 3, 2, 3];
          const views = Array.from({ length: count }, (_, v) =>
            normal(shape, seed + v)
              .mul(3)
              .logSoftmax(1),
          );
          const { logits, trust } = agreement(views);
          const p = views.map((view) => matrix(view.exp().permute([0, 2, 3, 1]).flatten(0, 2)));
          const pixels = p[0]!.map((own, i) => {
            const further = p.slice(1).map((view) => view[i]!);
            const divergence = further.map((other) =>
              dot(
                own,
                own.map((x, k) => Math.log(x / other[k]!)),
              ),
            );
            return {
              mean: own.map((x, k) => (x + further.reduce((sum, row) => sum + row[k]!, 0)) / count),
              trust: Math.exp(-divergence.reduce((sum, d) => sum + d, 0) / further.length),
            };
          });
          const mean = matrix(logits.exp().permute([0, 2, 3, 1]).flatten(0, 2));
          expect(
            difference(
              mean.flat(),
              pixels.flatMap(({ mean }) => mean),
            ),
          ).toBeLessThan(1e-5);
          expect(
            difference(
              trust.toArray(),
              pixels.map((pixel) => pixel.trust),
            ),
          ).toBeLessThan(1e-5);
          expect(trust.shape).toEqual([2, 2, 3]);
          expect((trust.flatten().tolist() as number[]).every((x) => x >= 0 && x <= 1)).toBe(true);
        }),
      ),
      { numRuns: 30 },
    );
  });

  test('views come back to the pixels of the image as it is', () => {
    tidy(() => {
      const image = normal([2, 3, 64, 96], 1);
      const seen: (readonly number[])[] = [];
      const pixelwise = (x: Tensor) => {
        seen.push(x.shape);
        return x.avgPool2d([4, 4]).mul(3);
      };
      const own = pixelwise(image);
      const views = viewsOf(own, image, pixelwise, { flip: true, scales: [0.4, 0.75, 2] });
      expect(seen.map((shape) => shape.slice(2))).toEqual([
        [64, 96],
        [64, 96],
        [32, 32],
        [64, 64],
        [128, 192],
      ]);
      for (const view of views) expect(view.shape).toEqual([2, 3, 16, 24]);
      // What treats every place alike says the same of the mirrored image.
      expect(difference(views[1]!.toArray(), own.logSoftmax(1).toArray())).toBeLessThan(1e-6);

      // What depends on the place does not: the left half is class 0 for it, wherever the image comes from.
      const sided = (x: Tensor) => {
        const row = Array.from({ length: 24 }, (_, i) => (i < 12 ? 2 : -2));
        const map = tensor(row).expand([x.shape[0]!, 16, 24]);
        return tidy(() => map.unsqueeze(1).mul(tensor([1, -1]).view([1, 2, 1, 1])));
      };
      const { logits, trust } = agreement(viewsOf(sided(image), image, sided, { flip: true, scales: [] }));
      expect(difference(logits.exp().toArray(), Array(2 * 2 * 16 * 24).fill(0.5))).toBeLessThan(1e-6);
      const p = 1 / (1 + Math.exp(-4));
      const divergence = (2 * p - 1) * Math.log(p / (1 - p));
      expect(difference(trust.toArray(), Array(2 * 16 * 24).fill(Math.exp(-divergence)))).toBeLessThan(1e-6);
    });
  });

  test('trust multiplies the weights at the size of the labels', () => {
    tidy(() => {
      const pseudo = {
        label: int64(Array(70).fill(1), [2, 5, 7]),
        weight: uniform([2, 5, 7], 1),
        q: tensor(0.5),
      };
      const trust = uniform([2, 2, 3], 2);
      const { label, weight, q } = trusted(pseudo, trust);
      const resized = (trust.tolist() as number[][][]).map((map) => slowBilinear(map, 5, 7)).flat(2);
      const expected = (pseudo.weight.flatten().tolist() as number[]).map((x, i) => x * resized[i]!);
      expect(difference(weight.toArray(), expected)).toBeLessThan(1e-6);
      expect([label, q]).toEqual([pseudo.label, pseudo.q]);
      expect(trusted(pseudo, undefined)).toBe(pseudo);
    });
  });
});

describe('in the step', () => {
  const parts = { selfTraining: tinySelfTraining, contrast: tinyContrast, featureDistance: false } as const;
  const both = Object.values(denoisers);

  /**
   * Two steps in which nothing is learned, so that each reader's numbers depend on its own view alone: the losses, and
   * the logits that the contrast was given.
   */
  function train(method: MethodConfig, refine?: Denoiser['refine']) {
    const student = new Learner(tinySegmentor, 5, method.contrast);
    const optimizer = buildOptimizer(student, { lr: 0, headMultiplier: 1, weightDecay: 0 });
    const step = new AdaptationStep(method, student, optimizer, 10, 1);
    if (refine)
      vi.spyOn((step.parts.hooked.get('denoise') as Denoiser | undefined)!, 'refine').mockImplementation(
        refine,
      );
    const logits: number[][] = [];
    for (const name of ['storeTarget', 'loss'] as const) {
      if (!step.parts.contrast) continue;
      const original = (step.parts.contrast[name] as (...args: unknown[]) => unknown).bind(
        step.parts.contrast,
      );
      vi.spyOn(step.parts.contrast, name).mockImplementation(((...args: unknown[]) => {
        const given = args.find((arg) => (arg as TeacherView | undefined)?.logits) as TeacherView;
        logits.push(Array.from(given.logits.toArray(), Number));
        return original(...args);
      }) as never);
    }
    const values = [1, 2].map((seed, iteration) => {
      const batch = tinyBatch(seed);
      const losses = step.run(batch, iteration);
      const numbers = {
        target: losses.target!.item(),
        contrast: losses.contrast?.item(),
        q: losses.q!.item(),
      };
      for (const value of [...Object.values(losses), ...Object.values(batch)]) value?.dispose();
      return numbers;
    });
    step.dispose();
    optimizer.dispose();
    student.dispose();
    return { values, logits };
  }

  test.each(both)('$kind reaches the readers that `where` names, and no other', (options) => {
    const before = liveTensors();
    const plain = train(methodConfig('pgpc', parts));
    const [labels, contrast, all] = (['labels', 'contrast', 'both'] as const).map((where) =>
      train(methodConfig('pgpc', { ...parts, denoise: { ...options, where } })),
    ) as [typeof plain, typeof plain, typeof plain];
    // The first step in which the strategy says something: prototypes need a batch before.
    const first = options.kind === 'prototypes' ? 1 : 0;
    const [p, l, c, a] = [plain, labels, contrast, all].map(({ values }) => values[first]!) as [
      (typeof plain.values)[0],
      (typeof plain.values)[0],
      (typeof plain.values)[0],
      (typeof plain.values)[0],
    ];
    expect(l.target).not.toBe(p.target);
    expect(a.target).toBe(l.target);
    expect([c.target, c.q]).toEqual([p.target, p.q]);
    // The banks and the loss are given the same logits: two calls a step.
    const given = ({ logits }: typeof plain) => logits.slice(2 * first, 2 * first + 2);
    expect(given(labels)).toEqual(given(plain));
    expect(given(all)).toEqual(given(contrast));
    expect(difference(given(contrast).flat(), given(plain).flat())).toBeGreaterThan(1e-3);
    expect(given(contrast)[0]).toEqual(given(contrast)[1]);
    expect(liveTensors()).toBe(before);
  });

  test('trust in the teacher is what target pixels weigh by', () => {
    const cleaned = methodConfig('self-training', { ...parts, denoise: denoisers.agreement });
    const [none, half, whole] = [0, 0.5, 1].map((value) =>
      train(cleaned, (view) => ({ labels: view, contrast: view, trust: full([2, 8, 8], value) })),
    ) as [ReturnType<typeof train>, ReturnType<typeof train>, ReturnType<typeof train>];
    expect(whole.values).toEqual(train(methodConfig('self-training', parts)).values);
    for (const [i, { target }] of whole.values.entries()) {
      expect(none.values[i]!.target).toBeLessThan(target);
      expect(half.values[i]!.target).toBeCloseTo((none.values[i]!.target + target) / 2, 5);
    }
  });

  test('goes with a method that does not contrast', () => {
    const targets = [undefined, ...both].map((denoise) => {
      const { values } = train(methodConfig('self-training', { ...parts, ...(denoise && { denoise }) }));
      return values[1]!.target;
    });
    expect(new Set(targets).size).toBe(3);
    expect(targets.every(Number.isFinite)).toBe(true);
  });

  test('the state resumes from a checkpoint as if it had never stopped', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pgpc-denoise-'));
    const data = { source: randomStore([1, 2, 3]), target: randomStore([4, 5, 6]), workers: 0 };
    const experiment = {
      ...daformerRecipe({
        segmentor: tinySegmentor,
        method: methodConfig('self-training', { ...parts, denoise: denoisers.prototypes }),
        iterations: 3,
        batch: 1,
        crop: { width: 32, height: 32 },
        seed: 6,
      }),
      rareClasses: undefined,
    };
    const [whole, first, second] = [1, 2, 3].map(() => new Trainer(experiment, data)) as [
      Trainer,
      Trainer,
      Trainer,
    ];
    await whole.run();
    await trainUntil(first, 2);
    first.save(folder);
    second.restore(folder);
    const prototypes = ({ step }: Trainer) =>
      (step.parts.hooked.get('denoise') as Denoiser | undefined)!.prototypes!;
    expect(differing(prototypes(second), prototypes(first))).toEqual([]);
    await second.run();
    expect(differing(prototypes(second), prototypes(whole))).toEqual([]);
    expect(differing(prototypes(second), prototypes(first))).not.toEqual([]);
    expect(differing(second.learner, whole.learner)).toEqual([]);
    for (const trainer of [whole, first, second]) await trainer.dispose();
    rmSync(folder, { recursive: true });
  });
});

describe('the configuration', () => {
  const selfTraining = tinySelfTraining;

  test('what is no denoising, or cleans what nobody reads, is refused', () => {
    const fault = (method: object) => methodSchema.safeParse(method).error!.issues[0]!;
    const { prototypes, agreement } = denoisers;
    expect(fault({ denoise: prototypes }).message).toMatch(/denoise needs selfTraining/);
    expect(fault({ selfTraining, denoise: { ...prototypes, temperature: 0 } }).path).toEqual([
      'denoise',
      'temperature',
    ]);
    expect(fault({ selfTraining, denoise: { ...prototypes, momentum: 1 } }).path).toEqual([
      'denoise',
      'momentum',
    ]);
    expect(fault({ selfTraining, denoise: { ...agreement, flip: false } }).message).toMatch(
      /flip or at least one/,
    );
    expect(fault({ selfTraining, denoise: { ...agreement, where: 'contrast' } }).path).toEqual([
      'denoise',
      'where',
    ]);
  });

  test('every name on the command line is a strategy, and goes into every method with a teacher', () => {
    expect(denoiseNames).toEqual(['none', ...Object.keys(denoisers)]);
    for (const denoise of Object.values(denoisers)) {
      for (const name of ['self-training', 'daformer', 'pgpc'] as const) {
        expect(methodSchema.parse(methodConfig(name, { denoise }))).toMatchObject({ denoise });
      }
    }
    expect(methodConfig('source-only', { denoise: denoisers.agreement })).toEqual({});
  });
});
