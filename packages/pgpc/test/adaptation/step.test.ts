// The self-training step and its parts, against loops in plain JavaScript and against each other.

import { Generator, grad, liveTensors, nn, noGrad, ops, type Tensor, tensor, tidy, zeros } from '@pgpc/torch';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { classMixMask, mix } from '../../src/adaptation/class-mix.js';
import { PixelContrast } from '../../src/adaptation/contrast/contrast.js';
import { Learner } from '../../src/adaptation/learner.js';
import { segmentationLoss } from '../../src/adaptation/losses.js';
import { pseudoLabels } from '../../src/adaptation/pseudo-labels.js';
import type { StepLosses } from '../../src/adaptation/step.js';
import {
  blurKernelSize,
  colorJitter,
  gaussianBlur,
  hsvToRgb,
  rgbToHsv,
  strongAugment,
} from '../../src/adaptation/strong-augment.js';
import { emaDecay, Teacher } from '../../src/adaptation/teacher.js';
import { type ContrastOptions, pgpcContrast } from '../../src/config/contrast.js';
import { daformerFeatureDistance } from '../../src/config/feature-distance.js';
import { weightings } from '../../src/config/loss-weights.js';
import { type MethodConfig, methodConfig, methodNames, methodSchema } from '../../src/config/method.js';
import { daformerSelfTraining } from '../../src/config/self-training.js';
import type { SegmentorOutput } from '../../src/models/segmentor.js';
import type { Batch } from '../../src/pipeline/batch.js';
import { denormalize, normalize } from '../../src/pipeline/normalize.js';
import { Rng } from '../../src/random.js';
import {
  CLASSES,
  difference,
  differing,
  digests,
  int64,
  mean,
  normal,
  randomLabels,
  slopes,
  slowBilinear,
  type TinyStep,
  tinyBatch,
  tinyContrast,
  tinySegmentor,
  tinySelfTraining,
  tinyStep,
  uniform,
} from '../support/method.js';

const seeds = fc.integer({ min: 0, max: 1e6 });
const runs = (numRuns: number) => ({ numRuns });

/** (B, C, h, w) logits to probabilities[n][y][x][c] at another size. */
function slowSoftmax(logits: Tensor, height: number, width: number): number[][][][] {
  return (logits.tolist() as number[][][][]).map((maps) => {
    const resized = maps.map((map) => slowBilinear(map, height, width));
    return resized[0]!.map((row, y) =>
      row.map((_, x) => {
        const powers = resized.map((map) => Math.exp(map[y]![x]!));
        const sum = powers.reduce((total, power) => total + power, 0);
        return powers.map((power) => power / sum);
      }),
    );
  });
}

test('a network that these tests make again is the one that its seed draws', () => {
  const [first, again] = [1, 2].map(() => tinyStep({ contrast: tinyContrast }, 1, { seed: 8 })) as [
    TinyStep,
    TinyStep,
  ];
  using drawn = new Learner(tinySegmentor, 8, tinyContrast);
  expect(differing(again.student, drawn)).toEqual([]);
  expect(again.student.segmentor.generator.getState()).toEqual(drawn.segmentor.generator.getState());
  first.dispose();
  again.dispose();
});

describe('segmentationLoss', () => {
  function slowLoss(
    logits: Tensor,
    label: number[],
    weight: number[],
    height: number,
    width: number,
  ): number {
    const pixels = slowSoftmax(logits, height, width).flat(2);
    return mean(pixels.map((p, i) => (label[i] === 255 ? 0 : -weight[i]! * Math.log(p[label[i]!]!))));
  }

  test('is the weighted mean over all pixels, ignored ones in the count; so is its gradient', () => {
    fc.assert(
      fc.property(seeds, fc.boolean(), (seed, weighted) =>
        tidy(() => {
          const [h, w, height, width] = [2, 3, 5, 4];
          const label = randomLabels(2 * height * width, 3, seed);
          const weights = uniform([2, height, width], seed);
          const logits = normal([2, 3, h, w], seed, 'float64').requiresGrad_();
          const loss = segmentationLoss(
            logits,
            int64(label, [2, height, width]),
            weighted ? weights : undefined,
          );
          const flat = (weights.flatten().tolist() as number[]).map((x) => (weighted ? x : 1));
          const slow = () => slowLoss(logits, label, flat, height, width);
          expect(loss.item()).toBeCloseTo(slow(), 6);

          const gradient = grad(loss, [logits])[0]!.toArray();
          for (const [i, slope] of slopes(logits, slow).entries()) {
            expect(Number(gradient[i])).toBeCloseTo(slope, 6);
          }
        }),
      ),
      runs(10),
    );
  });

  test('is 0 where no pixel has a label', () => {
    tidy(() => {
      const none = int64(Array(16).fill(255), [1, 4, 4]);
      expect(segmentationLoss(normal([1, 3, 2, 2], 1), none).item()).toBe(0);
    });
  });
});

describe('pseudoLabels', () => {
  test('labels, q and margins equal loops', () => {
    fc.assert(
      fc.property(
        seeds,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 0, max: 9 }),
        fc.integer({ min: 0, max: 9 }),
        (seed, threshold, ignoreTop, ignoreBottom) =>
          tidy(() => {
            const [height, width] = [6, 7];
            const logits = normal([2, 3, 3, 4], seed).mul(2);
            const p = slowSoftmax(logits, height, width);
            const top = p.flat(2).map((row) => Math.max(...row));
            // A threshold on a pixel's very value would be decided by rounding.
            fc.pre(top.every((x) => Math.abs(x - threshold) > 1e-5));
            const { label, weight, q } = pseudoLabels(logits, [height, width], {
              threshold,
              ignoreTop,
              ignoreBottom,
            });
            const slowQ = top.filter((x) => x >= threshold).length / top.length;
            expect(q.item()).toBeCloseTo(slowQ, 6);
            expect(label.flatten().tolist()).toEqual(p.flat(2).map((row) => row.indexOf(Math.max(...row))));
            const slowWeight = p.flatMap((rows) =>
              rows.flatMap((row, y) =>
                row.map(() => (y < ignoreTop || y >= height - ignoreBottom ? 0 : slowQ)),
              ),
            );
            expect(difference(weight.toArray(), slowWeight)).toBeLessThan(1e-6);
          }),
      ),
      runs(30),
    );
  });
});

describe('classMixMask', () => {
  test('takes whole classes: half of those in the batch, rounded up, 255 among them', () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 14 }), (seed, n, pixels) =>
        tidy(() => {
          using generator = new Generator(seed);
          const label = randomLabels(n * pixels, 6, seed);
          const mask = classMixMask(int64(label, [n, pixels, 1]), 6, generator);
          expect([mask.dtype, mask.shape]).toEqual(['bool', [n, pixels, 1]]);
          const chosen = (mask.flatten().tolist() as boolean[]).map(Number);
          const inBatch = new Set(label);
          const half = Math.ceil(inBatch.size / 2);
          for (let i = 0; i < n; i++) {
            const own = label.slice(i * pixels, (i + 1) * pixels);
            const picked = new Set(own.filter((_, j) => chosen[i * pixels + j]));
            // A class is in or out as a whole.
            expect(own.map((value) => Number(picked.has(value)))).toEqual(
              chosen.slice(i * pixels, (i + 1) * pixels),
            );
            const elsewhere = inBatch.size - new Set(own).size;
            expect(picked.size).toBeLessThanOrEqual(half);
            expect(picked.size).toBeGreaterThanOrEqual(half - elsewhere);
          }
        }),
      ),
      runs(60),
    );
  });

  test('every class of the batch is as likely, and every image draws anew', () => {
    tidy(() => {
      using generator = new Generator(4);
      const images = 2000;
      const label = int64([0, 2, 3, 5, 255]).expand([images, 5]).unsqueeze(2);
      const mask = classMixMask(label, 6, generator).squeeze(2).to('float32');
      expect(mask.sum([1]).eq(3).all().item()).toBe(1);
      for (const share of mask.mean([0]).tolist() as number[]) {
        expect(Math.abs(share - 3 / 5)).toBeLessThan(5 * Math.sqrt((0.6 * 0.4) / images));
      }
      const choices = new Set((mask.tolist() as number[][]).map(String));
      expect(choices.size).toBe(10);
    });
  });
});

test('mix takes masked pixels from the source, others from the target', () => {
  tidy(() => {
    const mask = tensor([[[true, false]], [[false, true]]]);
    const images = mix(mask, normal([2, 3, 1, 2], 1), normal([2, 3, 1, 2], 2)).tolist() as number[][][][];
    const [source, target] = [normal([2, 3, 1, 2], 1), normal([2, 3, 1, 2], 2)].map(
      (x) => x.tolist() as number[][][][],
    ) as [number[][][][], number[][][][]];
    for (const [n, x] of [0, 1].flatMap((n) => [0, 1].map((x) => [n, x] as const))) {
      for (const c of [0, 1, 2]) {
        expect(images[n]![c]![0]![x]).toBe((n === x ? source : target)[n]![c]![0]![x]);
      }
    }
    const labels = mix(mask, int64([1, 2, 3, 4], [2, 1, 2]), int64([5, 6, 7, 8], [2, 1, 2]));
    expect(labels.tolist()).toEqual([[[1, 6]], [[7, 4]]]);
  });
});

describe('strongAugment', () => {
  type Pixel = [number, number, number];

  /** The colour cone as textbooks draw it. */
  function slowHsv([r, g, b]: Pixel): Pixel {
    const [value, low] = [Math.max(r, g, b), Math.min(r, g, b)];
    const delta = value - low;
    const saturation = value === 0 ? 0 : delta / value;
    if (delta === 0) return [0, saturation, value];
    const sextant = value === r ? (g - b) / delta : value === g ? 2 + (b - r) / delta : 4 + (r - g) / delta;
    return [(sextant + 6) / 6 - (sextant >= 0 ? 1 : 0), saturation, value];
  }

  function slowRgb([hue, s, v]: Pixel): Pixel {
    const sextant = Math.floor(hue * 6) % 6;
    const f = hue * 6 - Math.floor(hue * 6);
    const [p, q, t] = [v * (1 - s), v * (1 - f * s), v * (1 - (1 - f) * s)];
    return (
      [
        [v, t, p],
        [q, v, p],
        [p, v, t],
        [p, q, v],
        [t, p, v],
        [v, p, q],
      ] as Pixel[]
    )[sextant]!;
  }

  /** (1, 3, H, W) as a list of pixels. */
  function pixelsOf(image: Tensor): Pixel[] {
    const [r, g, b] = (image.flatten(2).tolist() as number[][][])[0]!;
    return r!.map((red, i) => [red, g![i]!, b![i]!]);
  }

  test('hue, saturation and value are the textbook ones, and lead back', () => {
    tidy(() => {
      const greys = [0, 0.25, 1].map((x): Pixel => [x, x, x]);
      const corners = [
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
        [1, 1, 0],
        [0, 1, 1],
        [1, 0, 1],
      ] as Pixel[];
      const special = tensor([...greys, ...corners])
        .t()
        .view([1, 3, 1, -1]);
      const image = ops.cat([special, uniform([1, 3, 1, 300], 1)], 3);
      const [hue, saturation, value] = rgbToHsv(image).map((x) => x.flatten().tolist() as number[]);
      for (const [i, pixel] of pixelsOf(image).entries()) {
        const [h, s, v] = slowHsv(pixel);
        const turn = Math.abs(hue![i]! - h);
        expect(Math.min(turn, 1 - turn)).toBeLessThan(1e-5);
        expect(saturation![i]).toBeCloseTo(s, 5);
        expect(value![i]).toBeCloseTo(v, 6);
      }
      const back = hsvToRgb(...rgbToHsv(image));
      expect(difference(back.toArray(), image.toArray())).toBeLessThan(1e-6);
    });
  });

  test('jitter adds brightness, multiplies contrast, saturation and shifts hue, in random order', () => {
    const clamp = (x: number) => Math.min(1, Math.max(0, x));
    fc.assert(
      fc.property(seeds, fc.double({ min: 0.05, max: 0.5, noNaN: true }), (seed, strength) =>
        tidy(() => {
          const image = uniform([1, 3, 2, 5], seed);
          const jittered = colorJitter(image, strength, new Rng(seed, 'jitter'));
          const rng = new Rng(seed, 'jitter');
          const [b, c, s, h] = [0, 0, 0, 0].map(() => rng.uniform(-strength, strength)) as [
            number,
            number,
            number,
            number,
          ];
          const order = rng.shuffle(['brightness', 'contrast', 'saturation', 'hue'] as const);
          const slow = pixelsOf(image).map((pixel) =>
            order.reduce((x, name): Pixel => {
              if (name === 'brightness') return x.map((v) => clamp(v + b)) as Pixel;
              if (name === 'contrast') return x.map((v) => clamp(v * (1 + c))) as Pixel;
              const [hue, saturation, value] = slowHsv(x);
              if (name === 'saturation') return slowRgb([hue, clamp(saturation * (1 + s)), value]);
              return slowRgb([(hue + h + 1) % 1, saturation, value]);
            }, pixel),
          );
          expect(difference(pixelsOf(jittered).flat(), slow.flat())).toBeLessThan(1e-4);
        }),
      ),
      runs(40),
    );
  });

  test.each([
    [512, 51],
    [1024, 103],
    [128, 13],
    [64, 7],
    [32, 3],
    [10, 1],
  ])('the kernel for a side of %i is %i wide', (side, size) => {
    expect(blurKernelSize(side)).toBe(size);
  });

  test('blur is a Gaussian over the whole kernel, with reflected borders', () => {
    fc.assert(
      fc.property(seeds, fc.double({ min: 0.15, max: 1.15, noNaN: true }), (seed, sigma) =>
        tidy(() => {
          const [height, width] = [20, 210];
          const image = normal([1, 2, height, width], seed);
          const maps = (image.tolist() as number[][][][])[0]!;
          const reflect = (i: number, size: number) => (i < 0 ? -i : i >= size ? 2 * size - 2 - i : i);
          const blurRow = (row: number[], size: number) => {
            const weights = Array.from({ length: size }, (_, k) =>
              Math.exp(-((k - (size - 1) / 2) ** 2) / (2 * sigma * sigma)),
            );
            const sum = weights.reduce((total, weight) => total + weight, 0);
            return row.map((_, i) =>
              weights.reduce((total, weight, k) => {
                return total + (weight / sum) * row[reflect(i + k - (size >> 1), row.length)]!;
              }, 0),
            );
          };
          const transpose = (map: number[][]) => map[0]!.map((_, x) => map.map((row) => row[x]!));
          // Kernels of 21 and 1: the height's tenth is 2, whose kernel is 1.
          const slow = maps.map((map) => {
            const across = map.map((row) => blurRow(row, blurKernelSize(width)));
            return transpose(transpose(across).map((column) => blurRow(column, blurKernelSize(height))));
          });
          expect(difference(gaussianBlur(image, sigma).toArray(), slow.flat(2))).toBeLessThan(1e-5);
        }),
      ),
      runs(5),
    );
  });

  const options = { jitterProbability: 1, jitterStrength: 0.2, blurProbability: 1 };

  test('augments images one by one, each with its own draws', () => {
    tidy(() => {
      const image = normalize(uniform([2, 3, 24, 24], 1));
      const augmented = strongAugment(image, options, new Rng(1, 'augment'));
      const rng = new Rng(1, 'augment');
      rng.next();
      rng.next();
      const slow = image.split(1).map((single) => {
        const jittered = normalize(colorJitter(denormalize(single), 0.2, rng));
        return gaussianBlur(jittered, rng.uniform(0.15, 1.15));
      });
      expect(augmented.tolist()).toEqual(ops.cat(slow).tolist());
      const twins = strongAugment(
        image.narrow(0, 0, 1).expand([2, -1, -1, -1]),
        options,
        new Rng(1, 'augment'),
      );
      const [a, b] = twins.split(1) as [Tensor, Tensor];
      expect(difference(a.toArray(), b.toArray())).toBeGreaterThan(1e-2);
    });
  });

  test('does either with its probability, once for the whole batch', () => {
    tidy(() => {
      const image = normalize(uniform([1, 3, 16, 16], 1));
      const rng = new Rng(9, 'augment');
      const changed = (jitterProbability: number, blurProbability: number) => {
        const given = { ...options, jitterProbability, blurProbability };
        return Array.from({ length: 200 }, () =>
          tidy(() => strongAugment(image, given, rng) !== image),
        ).filter(Boolean).length;
      };
      expect(changed(0, 0)).toBe(0);
      for (const n of [changed(0.3, 0), changed(0, 0.3)]) {
        expect(Math.abs(n - 60)).toBeLessThan(5 * Math.sqrt(200 * 0.3 * 0.7));
      }
    });
  });
});

describe('the teacher', () => {
  test.each([
    [0, 0.999, 0],
    [1, 0.999, 1 / 2],
    [9, 0.999, 9 / 10],
    [998, 0.999, 998 / 999],
    [5000, 0.999, 0.999],
    [50, 0.9, 0.9],
  ])('decay at iteration %i below %f is %f', (iteration, alpha, decay) => {
    expect(emaDecay(iteration, alpha)).toBeCloseTo(decay, 12);
  });

  const dropping = { ...tinySegmentor, dropout: 0.5, dropPath: 0.5 };
  const projection = { width: 4, depth: 1 };

  test('is the running average of parameters, while batch-norm statistics are its own', () => {
    tidy(() => {
      const student = new Learner(tinySegmentor, 1, projection);
      const teacher = new Teacher(tinySegmentor, student, projection);
      const other = new Learner(tinySegmentor, 2, projection);
      const statistics = () => new Map([...teacher.network.namedBuffers()].map(([k, v]) => [k, v.tolist()]));
      const before = statistics();
      // Up to 50 numbers of every parameter.
      const values = (of: Learner) =>
        of.parameters().map((value) => {
          const some = value.flatten().narrow(0, 0, Math.min(50, value.numel));
          return some.tolist() as number[];
        });
      let slow = values(student);
      for (const [t, next] of [student, other, student].entries()) {
        noGrad(() => next.segmentor.call(normal([2, 3, 32, 32], t)));
        teacher.update(next, t + 1, 0.6);
        const a = Math.min(1 - 1 / (t + 2), 0.6);
        const now = values(next);
        slow = slow.map((row, i) => row.map((x, j) => a * x + (1 - a) * now[i]![j]!));
      }
      expect(difference(values(teacher.network).flat(), slow.flat())).toBeLessThan(1e-6);
      expect(statistics()).toEqual(before);
      // At the first step it is the student.
      teacher.update(other, 0, 0.999);
      expect(values(teacher.network)).toEqual(values(other));
    });
  });

  test('drops nothing and normalises by the batch', () => {
    tidy(() => {
      const student = new Learner(dropping, 1);
      const teacher = new Teacher(dropping, student);
      const drops: boolean[] = [];
      for (const module of teacher.network.namedModules().values()) {
        const isDrop = module instanceof nn.Dropout2d || module instanceof nn.DropPath;
        if (isDrop) drops.push(module.training);
        else if (module instanceof nn.Module) expect(module.training).toBe(true);
      }
      expect(drops.length).toBe(9);
      expect(drops).not.toContain(true);

      const plain = new Learner(tinySegmentor, 3);
      plain.loadStateDict(student.stateDict());
      const image = normal([2, 3, 32, 32], 4);
      const expected = plain.segmentor.call(image);
      const view = teacher.view(image);
      expect(view.logits.tolist()).toEqual(expected.logits.tolist());
      expect(view.features.tolist()).toEqual(expected.features.tolist());
      expect(
        teacher.network
          .namedBuffers()
          .get('segmentor.decode_head.fuse_layer.bottleneck.bn.num_batches_tracked')!
          .item(),
      ).toBe(1);
    });
  });

  test('takes no gradient', () => {
    tidy(() => {
      const student = new Learner(tinySegmentor, 1, projection);
      const teacher = new Teacher(tinySegmentor, student, projection);
      const view = teacher.view(normal([1, 3, 32, 32], 1).requiresGrad_());
      expect([view.logits.requiresGrad, view.features.requiresGrad]).toEqual([false, false]);
      expect(teacher.network.parameters().some((value) => value.requiresGrad)).toBe(false);
      expect(student.parameters().every((value) => value.requiresGrad)).toBe(true);
    });
  });
});

describe('the method configuration', () => {
  test('the methods are compositions of the same parts', () => {
    expect(methodConfig('source-only')).toEqual({});
    expect(methodConfig('self-training')).toEqual({ selfTraining: daformerSelfTraining });
    const daformer = { selfTraining: daformerSelfTraining, featureDistance: daformerFeatureDistance };
    expect(methodConfig('daformer')).toEqual(daformer);
    expect(methodConfig('pgpc')).toEqual({ ...daformer, contrast: pgpcContrast });
    expect(methodConfig('daformer', { featureDistance: false })).toEqual(methodConfig('self-training'));
    for (const name of methodNames)
      expect(methodSchema.parse(methodConfig(name))).toEqual(methodConfig(name));
  });

  test.each([
    [{ contrast: pgpcContrast }, 'contrast needs selfTraining'],
    [{ selfTraining: { ...daformerSelfTraining, alpha: 2 } }, 'expected number to be <=1'],
    [
      { selfTraining: daformerSelfTraining, contrast: { ...pgpcContrast, rank: 0 } },
      'expected number to be >=1',
    ],
    [{ selfTraining: daformerSelfTraining, constrast: pgpcContrast }, 'constrast'],
    [
      { selfTraining: daformerSelfTraining, contrast: { ...pgpcContrast, bankCapacity: 63 } },
      'bankCapacity must be at least enqueue',
    ],
    ...[
      { features: 'encoder' as const },
      { anchorDomains: 'source' as const },
      { anchorDomains: 'both' as const },
    ].map((chosen): [MethodConfig, string] => [
      {
        selfTraining: daformerSelfTraining,
        contrast: { ...pgpcContrast, ...chosen },
        weighting: weightings['gradient-norm'],
      },
      "weighting sees the decoder's features of the mixed image alone: contrast with anchorDomains target",
    ]),
  ])('refuses what cannot work (%#)', (config, message) => {
    expect(() => methodSchema.parse(config)).toThrow(message);
  });
});

describe('AdaptationStep', () => {
  const TOTAL = 8;
  const methods: Record<string, MethodConfig> = {
    'source-only': {},
    'self-training': { selfTraining: tinySelfTraining },
    pgpc: { selfTraining: tinySelfTraining, contrast: tinyContrast },
  };
  const dropping = { ...tinySegmentor, dropout: 0.1, dropPath: 0.1 };

  interface Running extends TinyStep {
    run(batch: Batch, iteration: number): StepLosses;
  }

  function start(method: MethodConfig, { segmentor = dropping, seed = 3, lr = 1e-3 } = {}): Running {
    const tiny = tinyStep(method, TOTAL, { segmentor, seed, lr });
    return { ...tiny, run: (batch, iteration) => tiny.step.run(batch, iteration) };
  }

  /** Losses as numbers of so many steps, each on its own batch. */
  function losses({ run }: Running, steps: number, from = 0): Record<string, number>[] {
    return Array.from({ length: steps }, (_, i) =>
      tidy(() =>
        Object.fromEntries(
          Object.entries(run(tinyBatch(from + i), from + i)).flatMap(([name, value]) =>
            value ? [[name, (value as Tensor).item()]] : [],
          ),
        ),
      ),
    );
  }

  const keys = {
    'source-only': ['source', 'total'],
    'self-training': ['q', 'source', 'target', 'total'],
    pgpc: ['contrast', 'q', 'source', 'target', 'total'],
  };

  test.each(Object.entries(keys))(
    '%s: finite losses that sum up, no tensor left behind, the same by the same seed',
    (name, expected) => {
      const before = liveTensors();
      const a = start(methods[name]!);
      const first = losses(a, 2);
      const live = liveTensors();
      const all = [...first, ...losses(a, 2, 2)];
      expect(liveTensors()).toBe(live);
      for (const loss of all) {
        expect(Object.keys(loss).sort()).toEqual(expected);
        expect(Object.values(loss).every(Number.isFinite)).toBe(true);
        const { source, target = 0, contrast = 0, total } = loss;
        expect(total).toBeCloseTo(source! + target + tinyContrast.weight * contrast, 5);
      }

      const b = start(methods[name]!);
      expect(losses(b, 4)).toEqual(all);
      expect(differing(b.student, a.student)).toEqual([]);
      const c = start(methods[name]!, { seed: 4 });
      expect(losses(c, 1)).not.toEqual(first.slice(0, 1));
      for (const each of [a, b, c]) each.dispose();
      expect(liveTensors()).toBe(before);
    },
  );

  const contrasts: Record<string, Partial<ContrastOptions>> = {
    'anchors in the target': {},
    'anchors in the source': { anchorDomains: 'source' },
    'anchors in both domains, of the encoder, negatives of similar classes, layer norm': {
      features: 'encoder',
      anchorDomains: 'both',
      negativeSampling: 'class-similarity',
      norm: 'layer',
    },
    'anchors in both domains, of the encoder on the clean target': {
      features: 'encoder',
      anchorDomains: 'both',
      anchorView: 'target',
    },
  };

  test.each(Object.entries(contrasts))(
    'gradients equal those from L_s + lambda_t L_t + lambda_c L_c in one graph: %s',
    (_, chosen) => {
      tidy(() => {
        const selfTraining = {
          ...tinySelfTraining,
          weight: 0.7,
          ignoreTop: 3,
          ignoreBottom: 6,
          jitterProbability: 0,
          blurProbability: 0,
        };
        const contrastOptions: ContrastOptions = { ...tinyContrast, weight: 0.3, ...chosen };
        const { features: which, anchorDomains = 'target', anchorView } = contrastOptions;
        const { student, step, run } = start(
          { selfTraining, contrast: contrastOptions },
          { segmentor: tinySegmentor, lr: 1e-5 },
        );
        // The first step fills the banks, which the source's anchors are contrasted with before they fill again.
        run(tinyBatch(2), 0);
        const { parts } = step;
        const contrast = new PixelContrast(CLASSES, contrastOptions, 3);
        contrast.loadStateDict(parts.contrast!.stateDict());
        contrast.generator.setState(parts.contrast!.generator.getState());
        using generator = new Generator(0);
        generator.setState(parts.mixGenerator.getState());
        const twin = new Learner(tinySegmentor, 0, contrastOptions);
        twin.loadStateDict(student.stateDict());
        const teacher = new Learner(tinySegmentor, 0, contrastOptions);
        teacher.loadStateDict(parts.teacher!.network.stateDict());
        noGrad(() => {
          const own = student.namedParameters();
          // a = 1 - 1 / 2
          for (const [name, value] of teacher.namedParameters()) value.add_(own.get(name)!).mul_(0.5);
        });
        const batch = tinyBatch(1);
        const made = run(batch, 1);

        // The stages resized, side by side, and then the parts of the first layer as one.
        const contrasted = ({ features, stages }: SegmentorOutput, { projection }: Learner) => {
          if (which !== 'encoder') return features;
          const fused = ops.cat(
            stages.map((stage) => nn.interpolate(stage, [8, 8])),
            1,
          );
          const parts = projection!.stages.items;
          const weights = ops.cat(
            parts.map(({ weight }) => weight),
            1,
          );
          const kernel = weights.unsqueeze(2).unsqueeze(3);
          return ops.conv2d(fused, kernel, parts[0]!.bias);
        };
        const source = twin.segmentor.call(batch.sourceImage);
        const sourceLoss = segmentationLoss(source.logits, batch.sourceLabel);
        const sourceContrast =
          anchorDomains === 'target'
            ? zeros([])
            : contrast.sourceLoss(contrasted(source, twin), batch.sourceLabel, twin.projection!);
        const view = noGrad(() => teacher.segmentor.call(batch.targetImage));
        const p = nn.interpolate(view.logits, [32, 32]).softmax(1);
        const q = mean(
          (p.amax([1]).flatten().tolist() as number[]).map((x) => Number(x >= selfTraining.threshold)),
        );
        expect(q * (1 - q)).toBeGreaterThan(0);
        const mask = classMixMask(batch.sourceLabel, CLASSES, generator);
        const m = mask.to('float32');
        const y = ops.arange(32);
        const rows = y.ge(3).logicalAnd(y.lt(26)).to('float32').view([1, 32, 1]);
        const weight = m.add(
          m
            .neg()
            .add(1)
            .mul(rows)
            .mul(0.7 * q),
        );
        const im = m.unsqueeze(1);
        const image = batch.sourceImage.mul(im).add(batch.targetImage.mul(im.neg().add(1)));
        const im64 = mask.to('int64');
        const label = batch.sourceLabel.mul(im64).add(p.argmax(1).mul(im64.neg().add(1)));
        const mixed = twin.segmentor.call(image);
        const targetLoss = segmentationLoss(mixed.logits, label, weight);
        contrast.storeSource(
          { features: contrasted(source, teacher), logits: source.logits },
          batch.sourceLabel,
          teacher.projection!,
        );
        // Rows of features are 4 pixels high: the first reaches into the upper margin, the last two into the lower.
        const inside = (map: Tensor) => map.narrow(2, 1, 5);
        const seen = { features: inside(contrasted(view, teacher)), logits: inside(view.logits) };
        contrast.storeTarget(seen, teacher.projection!);
        const onTarget = anchorView === 'target';
        const anchors = inside(contrasted(onTarget ? twin.segmentor.call(batch.targetImage) : mixed, twin));
        const targetContrast =
          anchorDomains === 'source'
            ? zeros([])
            : contrast.loss(anchors, onTarget ? undefined : mask.narrow(1, 4, 20), seen, twin.projection!);
        const contrastLoss = sourceContrast.add(targetContrast);
        sourceLoss.add(targetLoss).add(contrastLoss.mul(0.3)).backward();

        expect(sourceContrast.item() > 0).toBe(anchorDomains !== 'target');
        expect(targetContrast.item() > 0).toBe(anchorDomains !== 'source');
        expect(made.q!.item()).toBeCloseTo(q, 6);
        expect(made.source.item()).toBeCloseTo(sourceLoss.item(), 5);
        expect(made.target!.item()).toBeCloseTo(targetLoss.item(), 5);
        expect(made.contrast!.item()).toBeCloseTo(contrastLoss.item(), 4);
        const total = sourceLoss.item() + targetLoss.item() + 0.3 * contrastLoss.item();
        expect(made.total.item()).toBeCloseTo(total, 4);
        const own = student.namedParameters();
        for (const [name, parameter] of twin.namedParameters()) {
          const scale = Math.max(1e-2, parameter.grad!.abs().max().item());
          const error = difference(own.get(name)!.grad!.toArray(), parameter.grad!.toArray());
          expect(error / scale, name).toBeLessThan(1e-3);
        }
        contrast.dispose();
        step.dispose();
      });
    },
  );

  test('source-only does not look at the target', () => {
    const [a, b] = [start(methods['source-only']!), start(methods['source-only']!)];
    tidy(() => {
      for (const iteration of [0, 1]) {
        const { sourceImage, sourceLabel, targetImage } = tinyBatch(iteration);
        a.run({ sourceImage, sourceLabel, targetImage }, iteration);
        b.run({ sourceImage, sourceLabel }, iteration);
      }
    });
    expect(differing(a.student, b.student)).toEqual([]);
    expect([a.step.parts.teacher, a.step.parts.contrast]).toEqual([undefined, undefined]);
    for (const each of [a, b]) each.dispose();
  });

  test('PGPC with weight 0 is self-training, bit for bit', () => {
    const plain = start(methods['self-training']!);
    const pgpc = start({ selfTraining: tinySelfTraining, contrast: { ...tinyContrast, weight: 0 } });
    expect(differing(pgpc.student.segmentor, plain.student.segmentor)).toEqual([]);
    const targets = losses(plain, 3).map(({ target }) => target);
    const contrasted = losses(pgpc, 3);
    expect(contrasted.map(({ target }) => target)).toEqual(targets);
    expect(contrasted.every(({ contrast }) => contrast! > 0)).toBe(true);
    expect(differing(pgpc.student.segmentor, plain.student.segmentor)).toEqual([]);
    for (const each of [plain, pgpc]) each.dispose();
  });

  test('before the warm-up the banks fill and nothing is contrasted', () => {
    const plain = start(methods['self-training']!);
    const pgpc = start({ selfTraining: tinySelfTraining, contrast: { ...tinyContrast, warmup: 3 / TOTAL } });
    const head = digests(pgpc.student.projection!);
    losses(plain, 3);
    expect(losses(pgpc, 3).map(({ contrast }) => contrast)).toEqual([0, 0, 0]);
    expect(differing(pgpc.student.segmentor, plain.student.segmentor)).toEqual([]);
    expect(differing(pgpc.student.projection!, head)).toEqual([]);
    expect(tidy(() => pgpc.step.parts.contrast!.negatives.ready().all().item())).toBeTruthy();
    losses(plain, 1, 3);
    expect(losses(pgpc, 1, 3)[0]!.contrast).toBeGreaterThan(0);
    expect(differing(pgpc.student.segmentor, plain.student.segmentor)).not.toEqual([]);
    expect(differing(pgpc.student.projection!, head)).not.toEqual([]);
    for (const each of [plain, pgpc]) each.dispose();
  });

  test('the first step makes the teacher the student, whatever weights were loaded into it', () => {
    const { student, step, run, dispose } = start(methods['self-training']!);
    const other = new Learner(dropping, 9);
    student.loadStateDict(other.stateDict());
    tidy(() => run(tinyBatch(1), 0));
    const moved = differing(step.parts.teacher!.network, other);
    expect(moved.every((name) => /\.(running_mean|running_var|num_batches_tracked)$/.test(name))).toBe(true);
    other.dispose();
    dispose();
  });

  test('adoptStudent makes the teacher a copy of the student', () => {
    const pgpc = start(methods.pgpc!);
    losses(pgpc, 2);
    expect(differing(pgpc.step.parts.teacher!.network, pgpc.student)).not.toEqual([]);
    pgpc.step.adoptStudent();
    expect(differing(pgpc.step.parts.teacher!.network, pgpc.student)).toEqual([]);
    pgpc.dispose();
  });
});
