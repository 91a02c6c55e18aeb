// Loss weights that set themselves: against closed forms and loops, from any start, and through a checkpoint.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  alone,
  grad,
  keep,
  liveTensors,
  noGrad,
  ops,
  type Tensor,
  tensor,
  tidy,
  type World,
} from '@pgpc/torch';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { segmentationLoss } from '../../src/adaptation/losses.js';
import type { LossWeights, WeightedTerms } from '../../src/adaptation/parts.js';
import type { StepLosses } from '../../src/adaptation/step.js';
import { parseExperiment } from '../../src/config/experiment.js';
import { lossWeightNames, type WeightingName, weightings } from '../../src/config/loss-weights.js';
import { type MethodConfig, methodConfig, methodNames, methodSchema } from '../../src/config/method.js';
import {
  GradientNormWeights,
  type LossWeighting,
  lossWeighting,
  UncertaintyWeights,
} from '../../src/experiments/loss-weights.js';
import { PixelStore } from '../../src/pipeline/pixels.js';
import { Rng } from '../../src/random.js';
import { type LogEntry, Trainer } from '../../src/training/trainer.js';
import {
  CLASSES,
  difference,
  differing,
  int64,
  matrix,
  memoryDataset,
  normal,
  randomLabels,
  randomSample,
  tinyBatch,
  tinyContrast,
  tinySegmentor,
  tinySelfTraining,
  tinyStep,
} from '../support/method.js';

const seeds = fc.integer({ min: 0, max: 1e6 });
const runs = (numRuns: number) => ({ numRuns });
const names = Object.keys(weightings) as WeightingName[];

const [IMAGES, CHANNELS, CELLS, STRIDE] = [2, 4, 8, 4];
const SIDE = CELLS * STRIDE;
const ANCHORS = 9;

interface Scene {
  /** Starts of the rectangle of source pixels in the mixed image, which ends at its lower right corner. */
  left: number;
  top: number;
  /** q, 0 where there is a margin: the last rows. */
  q: number;
  margin: number;
  /** What L_c is multiplied with; undefined: it has not set in. */
  contrastScale: number | undefined;
}

const usual: Scene = { left: 17, top: 10, q: 0.4, margin: 3, contrastScale: 1 };

/** Rank 0's images, rank 1's, or all. */
type Share = [first: number, images: number];
const RANKS: readonly [Share, Share] = [
  [0, IMAGES],
  [IMAGES, IMAGES],
];
const WHOLE: Share = [0, 2 * IMAGES];

/** Features of two passes of a decoder with a classifier on them, and a contrast of some pixels of the second. */
function termsOf(seed: number, scene: Scene, weights: LossWeights, share: Share = RANKS[0]): WeightedTerms {
  const { left, top, q, margin, contrastScale } = scene;
  const all = 2 * IMAGES;
  const own = (x: Tensor) => x.narrow(0, ...share);
  const classifier = normal([CLASSES, CHANNELS, 1, 1], seed);
  const features = (of: number) =>
    own(normal([all, CHANNELS, CELLS, CELLS], seed + of))
      .clone()
      .requiresGrad_()
      .mul(1);
  const labels = (of: number) =>
    own(int64(randomLabels(all * SIDE * SIDE, CLASSES, seed + of), [all, SIDE, SIDE]));
  const [ofSource, ofMixed] = [features(1), features(2)];
  const label = labels(3);
  const inSource = Array.from({ length: SIDE * SIDE }, (_, i) => i % SIDE >= left && i >= top * SIDE);
  const mask = tensor(inSource).view([1, SIDE, SIDE]).expand([share[1], -1, -1]);
  const trust = tensor(inSource.map((_, i) => (i < (SIDE - margin) * SIDE ? q : 0))).view([SIDE, SIDE]);
  const cells = CELLS * CELLS;
  const pixels = Array.from({ length: share[1] }, (_, i) =>
    new Rng(seed + share[0] + i, 'anchors')
      .shuffle([...Array(cells).keys()])
      .slice(0, ANCHORS)
      .map((pixel) => i * cells + pixel),
  ).flat();
  const rows = ofMixed
    .permute([0, 2, 3, 1])
    .reshape([-1, CHANNELS])
    .index([int64(pixels)]);
  const contrast = rows
    .matmul(normal([CHANNELS, 6], seed + 4))
    .logsumexp([1])
    .mean();
  return {
    source: { loss: segmentationLoss(ops.conv2d(ofSource, classifier), label), features: ofSource, label },
    mixed: {
      features: ofMixed,
      logits: ops.conv2d(ofMixed, classifier),
      label: labels(5).clampMax(CLASSES - 1),
      weight: ops.where(mask, ops.onesLike(mask).to('float32'), trust.mul(weights.target)),
      mask,
    },
    contrast: {
      loss: contrastScale === undefined ? tensor(0) : contrast.mul(contrastScale),
      features: ofMixed,
    },
  };
}

/** What a step does with its terms. */
function learn(
  weighting: LossWeighting,
  seed: number,
  scene: Scene,
  share?: Share,
): { terms: WeightedTerms; used: LossWeights } {
  const used = weighting.lossWeights();
  const terms = termsOf(seed, scene, used, share);
  const { source, mixed, contrast } = terms;
  source.features.retainGrad();
  source.loss.backward();
  const target = segmentationLoss(mixed.logits, mixed.label, mixed.weight);
  const loss = used.contrast ? target.add(contrast!.loss.mul(used.contrast)) : target;
  const after = weighting.watch(used.contrast ? terms : { source, mixed }, used);
  loss.backward();
  after();
  return { terms, used };
}

function numbers({ target, contrast }: LossWeights): { target: number; contrast: number | undefined } {
  return { target: target.item(), contrast: contrast?.item() };
}

const start = { target: 1, contrast: 0.1 };

describe('weights from gradient norms', () => {
  type Map2 = number[][];

  /** Sum over channels of the squares, by image, row and column. */
  function squares(gradient: Tensor): Map2[] {
    const images = gradient.tolist() as number[][][][];
    return images.map((channels) =>
      channels[0]!.map((row, y) =>
        row.map((_, x) => channels.reduce((sum, map) => sum + map[y]![x]! ** 2, 0)),
      ),
    );
  }

  /** The weights that one batch asks for, each loss's gradient taken on its own and summed in loops. */
  function slow(
    { source, mixed, contrast }: WeightedTerms,
    lambda: number,
  ): { target: number; contrast: number } {
    const onTarget = mixed.weight.mul(mixed.mask.logicalNot());
    const [gs, gt, gc] = [
      grad(source.loss, [source.features], { retainGraph: true })[0]!,
      grad(segmentationLoss(mixed.logits, mixed.label, onTarget), [mixed.features], {
        retainGraph: true,
      })[0]!,
      grad(contrast!.loss, [mixed.features], { retainGraph: true })[0]!,
    ].map(squares) as [Map2[], Map2[], Map2[]];
    const label = source.label.tolist() as number[][][];
    const weight = onTarget.tolist() as number[][][];
    const sums = { s: 0, labelled: 0, t: 0, weights: 0, c: 0, anchors: 0 };
    for (let n = 0; n < IMAGES; n++) {
      for (let y = 0; y < CELLS; y++) {
        for (let x = 0; x < CELLS; x++) {
          sums.s += gs[n]![y]![x]!;
          sums.c += gc[n]![y]![x]!;
          if (gc[n]![y]![x]! > 0) sums.anchors++;
          if (label[n]![y * STRIDE]![x * STRIDE] !== 255) sums.labelled++;
          const near = weight[n]!.slice(Math.max(0, y - 1) * STRIDE, (y + 2) * STRIDE).flatMap((row) =>
            row.slice(Math.max(0, x - 1) * STRIDE, (x + 2) * STRIDE),
          );
          if (near.some((w) => w === 0)) continue;
          sums.t += gt[n]![y]![x]!;
          sums.weights += (weight[n]![y * STRIDE]![x * STRIDE]! / lambda) ** 2;
        }
      }
    }
    const unit = Math.sqrt(sums.s / sums.labelled);
    return {
      target: unit / Math.sqrt(sums.t / lambda ** 2 / sums.weights),
      contrast: unit / Math.sqrt(sums.c / sums.anchors),
    };
  }

  test('are ratios of the pull on a pixel, averaged in their logarithms with the start as one of them', () => {
    const scenes = fc.record({
      left: fc.integer({ min: 10, max: SIDE }),
      top: fc.integer({ min: 0, max: SIDE }),
      q: fc.double({ min: 0.05, max: 1, noNaN: true }),
      margin: fc.integer({ min: 0, max: 8 }),
      contrastScale: fc.double({ min: 0.1, max: 10, noNaN: true }),
    });
    fc.assert(
      fc.property(seeds, scenes, (seed, scene) =>
        tidy(() => {
          const weighting = new GradientNormWeights(start, 0.6, 'cpu', alone);
          let [t, c] = [Math.log(start.target), Math.log(start.contrast)];
          for (const [i, decay] of [1 / 2, 0.6, 0.6].entries()) {
            const { terms, used } = learn(weighting, seed + i, scene);
            // The graph is gone with the backward pass: the same terms once more.
            const again = termsOf(seed + i, scene, used);
            expect(difference(again.mixed.weight.toArray(), terms.mixed.weight.toArray())).toBe(0);
            const wanted = slow(again, used.target.item());
            t = decay * t + (1 - decay) * Math.log(wanted.target);
            c = decay * c + (1 - decay) * Math.log(wanted.contrast);
            const now = numbers(weighting.lossWeights());
            expect(Math.log(now.target)).toBeCloseTo(t, 3);
            expect(Math.log(now.contrast!)).toBeCloseTo(c, 3);
          }
        }),
      ),
      runs(10),
    );
  });

  test('pull the same on the features whatever L_c is multiplied with, and wherever the weights start', () => {
    const factor = fc.double({ min: 1 / Math.sqrt(10), max: Math.sqrt(10), noNaN: true });
    fc.assert(
      fc.property(seeds, factor, factor, factor, (seed, scale, startTarget, startContrast) =>
        tidy(() => {
          const settled = (weighting: GradientNormWeights, contrastScale: number) => {
            const scene = { ...usual, contrastScale };
            for (let i = 0; i < 12; i++) learn(weighting, seed, scene);
            const { target, contrast } = numbers(weighting.lossWeights());
            return [Math.log(target), Math.log(contrast! * contrastScale)];
          };
          const plain = settled(new GradientNormWeights(start, 0.4, 'cpu', alone), 1);
          const far = { target: start.target * startTarget, contrast: start.contrast * startContrast };
          const other = settled(new GradientNormWeights(far, 0.4, 'cpu', alone), scale);
          expect(difference(other, plain)).toBeLessThan(1e-3);
        }),
      ),
      runs(8),
    );
  });

  test('a loss that no pixel takes part in leaves its weight, and the other still learns', () => {
    tidy(() => {
      const after = (scene: Partial<Scene>) => {
        const weighting = new GradientNormWeights(start, 0.9, 'cpu', alone);
        learn(weighting, 3, { ...usual, ...scene });
        return numbers(weighting.lossWeights());
      };
      const both = after({});
      expect(both.target).not.toBeCloseTo(start.target, 2);
      expect(both.contrast).not.toBeCloseTo(start.contrast, 2);
      for (const contrastScale of [0, undefined]) {
        const { target, contrast } = after({ contrastScale });
        expect(target).toBeCloseTo(both.target, 5);
        expect(contrast).toBeCloseTo(start.contrast, 6);
      }
      for (const scene of [{ q: 0 }, { left: 0, top: 0 }, { margin: SIDE }]) {
        const { target, contrast } = after(scene);
        expect(target).toBe(start.target);
        expect(contrast).toBeCloseTo(both.contrast!, 5);
      }
    });
  });

  test('stay within bounds where a loss has next to no gradient', () => {
    tidy(() => {
      const weighting = new GradientNormWeights(start, 0, 'cpu', alone);
      learn(weighting, 3, { ...usual, contrastScale: 1e-9 });
      expect(weighting.lossWeights().contrast!.item()).toBeCloseTo(1000, 1);
    });
  });
});

describe('weights from uncertainty', () => {
  /** L_s, the mean over target pixels by their weights, and L_c. */
  function slow({ source, mixed, contrast }: WeightedTerms): [number, number, number] {
    const logits = ops.upsampleBilinear2d(mixed.logits, [SIDE, SIDE], false).permute([0, 2, 3, 1]);
    const rows = matrix(logits.logSoftmax(3).reshape([-1, CLASSES]));
    const flat = (map: Tensor) => map.flatten().tolist() as number[];
    const [label, weight, mask] = [flat(mixed.label), flat(mixed.weight), flat(mixed.mask).map(Boolean)];
    const sums = { loss: 0, weight: 0 };
    for (const [i, row] of rows.entries()) {
      if (mask[i]) continue;
      sums.loss -= weight[i]! * row[label[i]!]!;
      sums.weight += weight[i]!;
    }
    return [source.loss.item(), sums.loss / sums.weight, contrast!.loss.item()];
  }

  test('follow AdamW down sum_i exp(-s_i) L_i + s_i / 2, all divided by that of L_s', () => {
    fc.assert(
      fc.property(seeds, fc.double({ min: 0.01, max: 0.3, noNaN: true }), (seed, lr) =>
        tidy(() => {
          const weighting = new UncertaintyWeights(start, lr, 'cpu', alone);
          const s = [0, -Math.log(start.target), -Math.log(start.contrast)];
          const [m, v] = [
            [0, 0, 0],
            [0, 0, 0],
          ];
          for (let t = 1; t <= 4; t++) {
            const losses = slow(learn(weighting, seed + t, usual).terms);
            for (const [i, loss] of losses.entries()) {
              const objective = (x: number) => Math.exp(-x) * loss + x / 2;
              const gradient = (objective(s[i]! + 1e-5) - objective(s[i]! - 1e-5)) / 2e-5;
              m[i] = 0.9 * m[i]! + 0.1 * gradient;
              v[i] = 0.999 * v[i]! + 0.001 * gradient ** 2;
              s[i]! -= (lr * (m[i]! / (1 - 0.9 ** t))) / (Math.sqrt(v[i]! / (1 - 0.999 ** t)) + 1e-8);
            }
            const now = numbers(weighting.lossWeights());
            expect(Math.log(now.target)).toBeCloseTo(s[0]! - s[1]!, 3);
            expect(Math.log(now.contrast!)).toBeCloseTo(s[0]! - s[2]!, 3);
          }
          weighting.dispose();
        }),
      ),
      runs(10),
    );
  });

  test('settle at the ratios of the losses, wherever they start, without a say of q', () => {
    tidy(() => {
      for (const [factor, q] of [
        [1, 0.4],
        [Math.sqrt(10), 0.4],
        [1 / Math.sqrt(10), 0.05],
      ] as const) {
        const from = { target: start.target * factor, contrast: start.contrast * factor };
        const weighting = new UncertaintyWeights(from, 0.1, 'cpu', alone);
        let terms: WeightedTerms | undefined;
        for (let i = 0; i < 80; i++) terms = tidy(() => learn(weighting, 8, { ...usual, q }).terms);
        const [onSource, onTarget, onAnchors] = slow(terms!);
        const { target, contrast } = numbers(weighting.lossWeights());
        expect(Math.log(target / (onSource / onTarget))).toBeCloseTo(0, 1);
        expect(Math.log(contrast! / (onSource / onAnchors))).toBeCloseTo(0, 1);
        weighting.dispose();
      }
    });
  });

  test('a loss that no pixel takes part in does not move its variance', () => {
    tidy(() => {
      const after = (scene: Partial<Scene>) => {
        const weighting = new UncertaintyWeights(start, 0.1, 'cpu', alone);
        learn(weighting, 3, { ...usual, ...scene });
        const values = [...weighting.stateDict()].filter(([name]) => name.startsWith('log_variance'));
        const moved = values.map(([, s], i) => s.item() + Math.log([1, start.target, start.contrast][i]!));
        weighting.dispose();
        return moved.map((x) => Math.abs(x) > 0.05);
      };
      expect(after({})).toEqual([true, true, true]);
      expect(after({ contrastScale: undefined })).toEqual([true, true, false]);
      expect(after({ contrastScale: 0 })).toEqual([true, true, false]);
      expect(after({ q: 0 })).toEqual([true, false, true]);
    });
  });
});

describe.each(names)('weights by %s', (name) => {
  const make = (from: { target: number; contrast: number | undefined } = start, world: World = alone) =>
    lossWeighting(weightings[name], from, 'cpu', world);

  test('start from the hand-set weights, and do without a contrast', () => {
    tidy(() => {
      const weighting = make({ target: 0.8, contrast: 0.1 });
      const { target, contrast } = weighting.lossWeights();
      expect([target.item(), contrast!.item()]).toEqual([expect.closeTo(0.8, 6), expect.closeTo(0.1, 6)]);
      expect([target.requiresGrad, contrast!.requiresGrad]).toEqual([false, false]);
      const without = make({ target: 0.05, contrast: undefined });
      learn(without, 1, usual);
      expect(without.lossWeights().contrast).toBeUndefined();
      expect(without.lossWeights().target.item()).not.toBeCloseTo(0.05, 3);
      for (const each of [weighting, without]) each.dispose();
    });
  });

  test('are the same on all ranks, and in a process that has the whole batch', () => {
    tidy(() => {
      const whole = make();
      learn(whole, 7, usual, WHOLE);
      const world = (rank: number, exchange: (x: Tensor) => Tensor): World => ({
        ...alone,
        rank,
        size: 2,
        sum: exchange,
        mean: (x) => exchange(x).div(2),
      });
      const given = RANKS.map((share, rank) => {
        let sent: Tensor | undefined;
        const spy = world(rank, (x) => {
          sent = keep(x.clone());
          return x;
        });
        learn(make(start, spy), 7, usual, share);
        return sent!;
      }) as [Tensor, Tensor];
      const [first, second] = RANKS.map((share, rank) => {
        const ranked = make(
          start,
          world(rank, () => given[0].add(given[1])),
        );
        learn(ranked, 7, usual, share);
        return Object.values(numbers(ranked.lossWeights())) as number[];
      });
      expect(second).toEqual(first);
      expect(difference(first!, Object.values(numbers(whole.lossWeights())) as number[])).toBeLessThan(1e-5);
      // Each on its own would not have come to that.
      expect(given[0].div(given[1]).sub(1).abs().max().item()).toBeGreaterThan(1e-2);
      for (const sent of given) sent.dispose();
    });
  });

  test('resume exactly from what stateDict gave', () => {
    tidy(() => {
      const [one, other] = [make(), make({ target: 3, contrast: 3 })];
      for (let i = 0; i < 2; i++) learn(one, i, usual);
      const copy = new Map([...one.stateDict()].map(([key, value]) => [key, noGrad(() => value.clone())]));
      other.loadStateDict(copy);
      for (let i = 2; i < 5; i++) {
        expect(numbers(other.lossWeights())).toEqual(numbers(one.lossWeights()));
        for (const each of [one, other]) learn(each, i, usual);
      }
      expect(numbers(other.lossWeights())).toEqual(numbers(one.lossWeights()));
      for (const each of [one, other]) each.dispose();
    });
  });
});

describe('the method configuration', () => {
  test('weights of every kind go with every method but source-only, and one that contrasts elsewhere', () => {
    expect(lossWeightNames).toEqual(['fixed', ...names]);
    for (const kind of names) {
      for (const method of methodNames) {
        const config = methodConfig(method, { weighting: weightings[kind] });
        if (method === 'pgpc-plus') {
          expect(() => methodSchema.parse(config)).toThrow("weighting sees the decoder's features");
          continue;
        }
        expect(methodSchema.parse(config)).toEqual(config);
        expect(config.weighting).toEqual(method === 'source-only' ? undefined : weightings[kind]);
      }
    }
  });

  test.each([
    [{ weighting: weightings.uncertainty }, 'weighting needs selfTraining'],
    [
      { selfTraining: { ...tinySelfTraining, weight: 0 }, weighting: weightings.uncertainty },
      'must then be above 0',
    ],
    [
      {
        selfTraining: tinySelfTraining,
        contrast: { ...tinyContrast, weight: 0 },
        weighting: weightings['gradient-norm'],
      },
      'must then be above 0',
    ],
    [{ selfTraining: tinySelfTraining, weighting: { kind: 'gradient-norm', momentum: 1 } }, 'to be <1'],
    [{ selfTraining: tinySelfTraining, weighting: { kind: 'uncertainty', lr: 0 } }, 'to be >0'],
    [{ selfTraining: tinySelfTraining, weighting: { kind: 'uncertainty', momentum: 0.9 } }, 'momentum'],
  ])('refuses what cannot work (%#)', (config, message) => {
    expect(() => methodSchema.parse(config)).toThrow(message);
  });
});

describe('a step with weights that set themselves', () => {
  const parts = { selfTraining: tinySelfTraining, contrast: tinyContrast };

  function begin(method: MethodConfig, activationCheckpointing = false) {
    const { student, step, dispose } = tinyStep(method, 4, { activationCheckpointing });
    const run = (iteration: number): Record<string, number> =>
      tidy(() => {
        const losses: StepLosses = step.run(tinyBatch(iteration), iteration);
        return Object.fromEntries(
          Object.entries(losses).flatMap(([name, value]) =>
            value ? [[name, (value as Tensor).item()]] : [],
          ),
        );
      });
    return { student, step, run, dispose };
  }

  test.each(names)(
    '%s: uses the weights that it reports, learns them, and leaves no tensor behind',
    (name) => {
      const own = begin({ ...parts, weighting: weightings[name] });
      // The same first step by hand, with weights that are not the start's.
      const state = new Map([...own.step.parts.hooked.get('weighting')!.stateDict!()]);
      tidy(() =>
        noGrad(() => {
          if (name === 'gradient-norm') state.get('log')!.copy_(tensor([Math.log(0.5), Math.log(0.05)]));
          else
            for (const [i, weight] of [1, 0.5, 0.05].entries())
              state.get(`log_variance.${i}`)!.fill_(-Math.log(weight));
        }),
      );
      state.get('steps')?.dispose();
      const fixed = begin({
        selfTraining: { ...tinySelfTraining, weight: 0.5 },
        contrast: { ...tinyContrast, weight: 0.05 },
      });
      const [made, byHand] = [own.run(0), fixed.run(0)];
      const { targetWeight, contrastWeight, ...rest } = made;
      expect([targetWeight, contrastWeight]).toEqual([expect.closeTo(0.5, 5), expect.closeTo(0.05, 6)]);
      expect(Object.keys(rest).sort()).toEqual(Object.keys(byHand).sort());
      for (const [key, value] of Object.entries(rest))
        expect([key, value]).toEqual([key, expect.closeTo(byHand[key]!, 5)]);
      tidy(() => {
        const wanted = fixed.student.namedParameters();
        for (const [key, parameter] of own.student.namedParameters()) {
          const gradient = wanted.get(key)!.grad!;
          const error = difference(parameter.grad!.toArray(), gradient.toArray());
          expect(error / Math.max(1e-2, gradient.abs().max().item()), key).toBeLessThan(1e-4);
        }
      });
      own.run(1);
      const live = liveTensors();
      const third = own.run(2);
      expect(liveTensors()).toBe(live);
      expect(third.contrastWeight).not.toBeCloseTo(contrastWeight!, 3);
      expect(Object.values(third).every(Number.isFinite)).toBe(true);
      for (const each of [own, fixed]) each.dispose();
    },
  );

  test('recomputed activations change no weight', () => {
    const method = { ...parts, weighting: weightings['gradient-norm'] };
    const [plain, thrifty] = [begin(method), begin(method, true)];
    for (const iteration of [0, 1]) {
      const [a, b] = [plain.run(iteration), thrifty.run(iteration)];
      expect(b).toEqual(
        Object.fromEntries(Object.entries(a).map(([key, value]) => [key, expect.closeTo(value, 4)])),
      );
    }
    for (const each of [plain, thrifty]) each.dispose();
  });
});

describe('a run with weights that set themselves', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pgpc-weighting-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const store = (from: number) =>
    new PixelStore(memoryDataset([from, from + 1].map((seed) => randomSample(40, 40, seed))));
  const data = { source: store(1), target: store(3), workers: 0 };

  test.each(names)('by %s resumes from its checkpoint bit for bit, and logs the weights', async (name) => {
    const experiment = parseExperiment({
      segmentor: tinySegmentor,
      method: {
        selfTraining: tinySelfTraining,
        contrast: { ...tinyContrast, warmup: 0.25 },
        weighting: weightings[name],
      },
      iterations: 4,
      batch: 1,
      crop: { width: 32, height: 32, catMaxRatio: 1, flip: 0.5 },
      optimizer: { lr: 1e-3, headMultiplier: 3, weightDecay: 0.01 },
      schedule: { power: 1, warmupIters: 0, warmupRatio: 0.1 },
      seed: 6,
    });
    const log: LogEntry[] = [];
    const onLog = (entry: LogEntry) => log.push(entry);
    const first = new Trainer(experiment, data);
    const stop = new AbortController();
    const signal = stop.signal;
    await first.run({ signal, logEvery: 1, onLog, onStep: (done) => done === 2 && stop.abort() });
    const checkpoint = mkdtempSync(join(folder, 'checkpoint-'));
    first.save(checkpoint);
    const second = new Trainer(experiment, data);
    second.restore(checkpoint);
    await first.run({ logEvery: 1, onLog });
    const expected = log.splice(0);
    await second.run({ logEvery: 1, onLog });
    expect(log).toEqual(expected.slice(2));
    expect(differing(second.learner, first.learner)).toEqual([]);
    const [weights, others] = ['weight/contrast', 'weight/target'].map((key) =>
      expected.map(({ values }) => values[key]),
    );
    // The contrast's weight stays while the contrast warms up, and a step after: it is learned at the end of one.
    expect(weights!.slice(0, 2)).toEqual([
      expect.closeTo(0.1, 6),
      expect.closeTo(0.1, name === 'uncertainty' ? 1 : 6),
    ]);
    expect(weights![3]).not.toBeCloseTo(0.1, 3);
    expect(others![0]).toBe(1);
    for (const trainer of [first, second]) await trainer.dispose();
  });
});
