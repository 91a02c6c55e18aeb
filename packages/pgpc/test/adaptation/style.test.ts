// Styles of the source image against slow versions, and what they are in the training step.

import { grad, liveTensors, noGrad, type Tensor, tensor, tidy } from '@pgpc/torch';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Learner } from '../../src/adaptation/learner.js';
import { AdaptationStep } from '../../src/adaptation/step.js';
import { alignChannels, alignedPass, channelStatistics } from '../../src/adaptation/style/dcan.js';
import { exchangeAmplitude, exchangedFrequencies, fourierStyle } from '../../src/adaptation/style/fda.js';
import { styledImage } from '../../src/adaptation/style/style.js';
import { type MethodConfig, methodConfig, methodSchema } from '../../src/config/method.js';
import { type StyleOptions, styles } from '../../src/config/style.js';
import { Segmentor } from '../../src/models/segmentor.js';
import { normalize } from '../../src/pipeline/normalize.js';
import { buildOptimizer } from '../../src/training/optimizer.js';
import {
  difference,
  differing,
  mean,
  normal,
  slopes,
  tinyBatch,
  tinyContrast,
  tinySegmentor,
  tinySelfTraining,
  uniform,
} from '../support/method.js';

const seeds = fc.integer({ min: 0, max: 1e6 });
const runs = (numRuns: number) => ({ numRuns });

type Complex = [re: number, im: number];

/** X[u][v] = sum_y sum_x f[y][x] e^(-2 pi i (u y / H + v x / W)), frequencies from 0 on. */
function slowSpectrum(map: number[][]): Complex[][] {
  const [height, width] = [map.length, map[0]!.length];
  return map.map((row, u) =>
    row.map((_, v) => {
      const sum: Complex = [0, 0];
      for (const [y, values] of map.entries()) {
        for (const [x, value] of values.entries()) {
          const angle = -2 * Math.PI * ((u * y) / height + (v * x) / width);
          sum[0] += value * Math.cos(angle);
          sum[1] += value * Math.sin(angle);
        }
      }
      return sum;
    }),
  );
}

/** Real and imaginary part of the inverse. */
function slowImage(spectrum: Complex[][]): Complex[][] {
  const [height, width] = [spectrum.length, spectrum[0]!.length];
  return spectrum.map((row, y) =>
    row.map((_, x) => {
      const sum: Complex = [0, 0];
      for (const [u, values] of spectrum.entries()) {
        for (const [v, [re, im]] of values.entries()) {
          const angle = 2 * Math.PI * ((u * y) / height + (v * x) / width);
          sum[0] += re * Math.cos(angle) - im * Math.sin(angle);
          sum[1] += re * Math.sin(angle) + im * Math.cos(angle);
        }
      }
      return [sum[0] / (height * width), sum[1] / (height * width)];
    }),
  );
}

/** The definition, on the spectrum whose frequency 0 was shifted to the middle. */
function slowExchange(source: number[][], target: number[][], beta: number): Complex[][] {
  const [height, width] = [source.length, source[0]!.length];
  const reach = Math.floor(beta * Math.min(height, width));
  const wanted = slowSpectrum(target);
  const spectrum = slowSpectrum(source).map((row, u) =>
    row.map(([re, im], v): Complex => {
      const [middleY, middleX] = [Math.floor(height / 2), Math.floor(width / 2)];
      const [y, x] = [(u + middleY) % height, (v + middleX) % width];
      if (Math.abs(y - middleY) > reach || Math.abs(x - middleX) > reach) return [re, im];
      const amplitude = Math.hypot(...wanted[u]![v]!);
      const phase = Math.atan2(im, re);
      return [amplitude * Math.cos(phase), amplitude * Math.sin(phase)];
    }),
  );
  return slowImage(spectrum);
}

const sides = fc.integer({ min: 2, max: 7 });

describe('Fourier domain adaptation', () => {
  test('equals the discrete Fourier transform written out', () => {
    fc.assert(
      fc.property(
        seeds,
        sides,
        sides,
        fc.double({ min: 0.01, max: 0.5, noNaN: true }),
        (seed, height, width, beta) =>
          tidy(() => {
            const shape = [2, 2, height, width];
            const [source, target] = [normal(shape, seed, 'float64'), normal(shape, seed + 1, 'float64')];
            const fast = exchangeAmplitude(source, target, beta).tolist() as number[][][][];
            for (const n of [0, 1]) {
              for (const c of [0, 1]) {
                const [own, other] = [source, target].map((x) => (x.tolist() as number[][][][])[n]![c]!) as [
                  number[][],
                  number[][],
                ];
                const slow = slowExchange(own, other, beta).flat();
                expect(mean(slow.map(([, im]) => Math.abs(im)))).toBeLessThan(1e-12);
                expect(
                  difference(
                    fast[n]![c]!.flat(),
                    slow.map(([re]) => re),
                  ),
                ).toBeLessThan(1e-10);
              }
            }
          }),
      ),
      runs(40),
    );
  });

  test('beta 0 leaves the image, a small beta exchanges the mean alone', () => {
    tidy(() => {
      const shape = [1, 3, 6, 9];
      const [source, target] = [normal(shape, 1), normal(shape, 2)];
      expect(exchangeAmplitude(source, target, 0)).toBe(source);
      expect(exchangedFrequencies(6, 9, 0.1)).toBe(0);
      const styled = exchangeAmplitude(source, target, 0.1);
      const [before, after, wanted] = [source, styled, target].map((x) => x.mean([2, 3], true)) as [
        Tensor,
        Tensor,
        Tensor,
      ];
      const shift = styled.sub(after).sub(source.sub(before)).abs().max().item();
      expect(shift).toBeLessThan(1e-6);
      // The mean's sign is its phase, which stays.
      expect(difference(after.abs().toArray(), wanted.abs().toArray())).toBeLessThan(1e-6);
      expect(after.sign().eq(before.sign()).all().item()).toBe(1);
    });
  });

  test('the whole window gives all of the target’s amplitude and keeps the source’s phase', () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 3, max: 9 }), (seed, side) =>
        tidy(() => {
          const shape = [1, 3, side, side];
          const [source, target] = [normal(shape, seed, 'float64'), normal(shape, seed + 1, 'float64')];
          const [styled, own, wanted] = [exchangeAmplitude(source, target, 0.5), source, target].map((x) =>
            x.fftFft2(),
          ) as [Tensor, Tensor, Tensor];
          expect(difference(styled.abs().toArray(), wanted.abs().toArray())).toBeLessThan(1e-9);
          const turned = styled.angle().sub(own.angle()).cos().toArray() as Float64Array;
          for (const cosine of turned) expect(cosine).toBeCloseTo(1, 9);
        }),
      ),
      runs(20),
    );
  });

  test('is computed on RGB values: the mean colour becomes the target’s', () => {
    tidy(() => {
      const colours = (seed: number) =>
        uniform([2, 3, 32, 32], seed)
          .mul(0.5)
          .add(0.1 * seed);
      const [source, target] = [colours(1), colours(2)];
      const styled = fourierStyle(normalize(source), normalize(target), 0.05);
      const wanted = normalize(target).mean([2, 3]);
      expect(difference(styled.mean([2, 3]).toArray(), wanted.toArray())).toBeLessThan(1e-5);
      expect(difference(styled.toArray(), normalize(source).toArray())).toBeGreaterThan(0.1);
    });
  });
});

describe('channel-wise alignment', () => {
  function slowAlign(map: number[], wanted: number[]): number[] {
    const statistics = (values: number[]) => {
      const middle = mean(values);
      return [middle, Math.sqrt(mean(values.map((x) => (x - middle) ** 2)) + 1e-5)] as const;
    };
    const [[m, s], [wantedMean, wantedStd]] = [statistics(map), statistics(wanted)];
    return map.map((x) => ((x - m) / s) * wantedStd + wantedMean);
  }

  test('equals loops, and so does its gradient', () => {
    fc.assert(
      fc.property(seeds, (seed) =>
        tidy(() => {
          const map = normal([2, 3, 2, 4], seed, 'float64').requiresGrad_();
          const wanted = normal([2, 3, 3, 3], seed + 1, 'float64')
            .mul(3)
            .add(1);
          const weights = normal([2, 3, 2, 4], seed + 2, 'float64');
          const channels = (x: Tensor) => x.flatten(2).flatten(0, 1).tolist() as number[][];
          const slow = () => channels(map).flatMap((row, i) => slowAlign(row, channels(wanted)[i]!));
          const aligned = alignChannels(map, channelStatistics(wanted));
          expect(difference(aligned.toArray(), slow())).toBeLessThan(1e-12);

          const gradient = grad(aligned.mul(weights).sum(), [map])[0]!.toArray();
          const flat = weights.toArray();
          const loss = () => slow().reduce((sum, x, i) => sum + x * Number(flat[i]), 0);
          for (const [i, slope] of slopes(map, loss).entries()) {
            expect(Number(gradient[i])).toBeCloseTo(slope, 6);
          }
        }),
      ),
      runs(5),
    );
  });

  test('a constant channel becomes the wanted mean', () => {
    tidy(() => {
      const wanted = channelStatistics(normal([1, 2, 4, 4], 3));
      const aligned = alignChannels(tensor([[[[2]], [[-7]]]]), wanted);
      expect(difference(aligned.toArray(), wanted.mean.toArray())).toBeLessThan(1e-6);
    });
  });

  test('the decoder sees maps with the target’s statistics; the encoder learns, the target’s side does not', () => {
    using segmentor = new Segmentor(tinySegmentor, 3);
    tidy(() => {
      const [image, target] = [normal([2, 3, 32, 32], 1), normal([2, 3, 32, 32], 2).mul(2).requiresGrad_()];
      const means: ArrayLike<number | bigint>[] = [];
      const { decodeHead } = segmentor;
      const forward = decodeHead.forward.bind(decodeHead);
      decodeHead.forward = (stages) => {
        for (const stage of stages) means.push(channelStatistics(stage).mean.toArray());
        return forward(stages);
      };
      const output = alignedPass(segmentor, image, target);
      const own = noGrad(() => segmentor.backbone.call(image));
      const wanted = noGrad(() => segmentor.backbone.call(target));
      expect(means).toHaveLength(4);
      for (const [i, stage] of wanted.entries()) {
        const { mean } = channelStatistics(stage);
        expect(difference(Array.from(means[i]!, Number), mean.toArray())).toBeLessThan(1e-4);
        expect(difference(output.stages[i]!.toArray(), own[i]!.toArray())).toBeLessThan(1e-6);
      }
      const weight = segmentor.backbone.parameters()[0]!;
      const [ofWeight, ofTarget] = grad(output.logits.sum(), [weight, target], { allowUnused: true });
      expect(ofWeight!.abs().max().item()).toBeGreaterThan(0);
      expect(ofTarget).toBeNull();
    });
  });
});

describe('in the step', () => {
  const parts = { selfTraining: tinySelfTraining, contrast: tinyContrast, featureDistance: false } as const;

  /** Losses of one step, and the student after it. */
  function train(method: MethodConfig, seed = 3) {
    const student = new Learner(tinySegmentor, 5, method.contrast);
    const optimizer = buildOptimizer(student, { lr: 1e-3, headMultiplier: 2, weightDecay: 0 });
    const step = new AdaptationStep(method, student, optimizer, 10, 1);
    const batch = tinyBatch(seed);
    const losses = step.run(batch, 0);
    const values = { source: losses.source.item(), target: losses.target?.item() };
    for (const value of [...Object.values(losses), ...Object.values(batch)]) value?.dispose();
    step.dispose();
    optimizer.dispose();
    return { student, values };
  }

  test.each(['source-only', 'pgpc'] as const)(
    '%s takes every style, and each changes what is learned',
    (name) => {
      const options: (StyleOptions | undefined)[] = [
        undefined,
        styles.fda,
        styles.dcan,
        { ...styles.dcan, image: false },
        { ...styles.dcan, features: false },
      ];
      const before = liveTensors();
      const all = options.map((style) => train(methodConfig(name, { ...parts, style })));
      const sources = all.map(({ values }) => values.source);
      expect(new Set(sources).size).toBe(options.length);
      for (const { values } of all) {
        expect(Number.isFinite(values.source)).toBe(true);
        expect(values.target === undefined).toBe(name === 'source-only');
      }
      for (const { student } of all) student.dispose();
      expect(liveTensors()).toBe(before);
    },
  );

  test('beta 0 trains as no style does, bit for bit; so the mixed image is made of the styled source', () => {
    const [plain, same, other] = [undefined, { kind: 'fda', beta: 0 } as const, styles.fda].map((style) =>
      train(methodConfig('self-training', { ...parts, style })),
    ) as ReturnType<typeof train>[] as [
      ReturnType<typeof train>,
      ReturnType<typeof train>,
      ReturnType<typeof train>,
    ];
    expect(differing(plain.student, same.student)).toEqual([]);
    expect(same.values).toEqual(plain.values);
    expect(other.values.target).not.toBe(plain.values.target);
    for (const { student } of [plain, same, other]) student.dispose();
  });

  test('what is not a style is refused', () => {
    const bad = (style: unknown) => methodSchema.safeParse({ style }).error!.issues[0]!;
    expect(bad({ kind: 'fda', beta: 0.6 }).path).toEqual(['style', 'beta']);
    expect(bad({ kind: 'dcan', image: false, features: false }).message).toMatch(/image or features/);
    expect(methodSchema.parse({ style: styles.dcan })).toEqual({ style: styles.dcan });
  });

  test('the styled image carries no gradient', () => {
    tidy(() => {
      const image = normal([1, 3, 16, 16], 1).requiresGrad_();
      for (const style of [styles.fda, styles.dcan]) {
        expect(styledImage(image, normal([1, 3, 16, 16], 2), style).requiresGrad).toBe(false);
      }
    });
  });
});
