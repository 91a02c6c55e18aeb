// Features in 16 bits, as networks give them under autocast: all that is computed of them is in float32.

import { alone, autocast, Generator, noGrad, type Tensor, tidy } from '@pgpc/torch';
import { describe, expect, test } from 'vitest';
import { PixelContrast } from '../../src/adaptation/contrast/contrast.js';
import { ProjectionHead } from '../../src/adaptation/contrast/projection-head.js';
import { Denoiser } from '../../src/adaptation/denoise/denoise.js';
import { featureDistance } from '../../src/adaptation/feature-distance.js';
import type { WeightedTerms } from '../../src/adaptation/parts.js';
import { alignChannels, channelStatistics } from '../../src/adaptation/style/dcan.js';
import { contrastTypes } from '../../src/config/contrast.js';
import { denoisers } from '../../src/config/denoise.js';
import { GradientNormWeights } from '../../src/experiments/loss-weights.js';
import { singlePrecision } from '../../src/pixels.js';
import {
  CLASSES,
  difference,
  int64,
  normal,
  randomLabels,
  tinyContrast,
  uniform,
} from '../support/method.js';

const WIDTH = 6;
const SIZE = [4, 6] as const;

/** Values of 8 significant bits, in 16 bits and in 32. */
function both(seed: number, shape: readonly number[] = [2, WIDTH, ...SIZE]): [half: Tensor, single: Tensor] {
  const half = normal(shape, seed).to('bfloat16');
  return [half, half.to('float32')];
}

const logits = (seed: number) => normal([2, CLASSES, ...SIZE], seed).mul(2);
const labels = (seed: number) =>
  int64(randomLabels(2 * SIZE[0] * SIZE[1], CLASSES, seed), [2, ...SIZE])
    .repeatInterleave(4, 1)
    .repeatInterleave(4, 2);

function headOf(seed: number): ProjectionHead {
  using generator = new Generator(seed);
  return new ProjectionHead(WIDTH, tinyContrast, generator);
}

/** Expects gradients that are the same but for the rounding to 16 bits. */
function expectRounded(half: Tensor, single: Tensor): void {
  expect(half.dtype).toBe('bfloat16');
  const scale = single.abs().max().item();
  expect(scale).toBeGreaterThan(0);
  expect(difference(half.toArray(), single.toArray()) / scale).toBeLessThan(2 ** -8);
}

test('values of 32 bits and more are given back as they are', () => {
  tidy(() => {
    for (const dtype of ['float32', 'float64'] as const) {
      const x = normal([3], 1, dtype);
      expect(singlePrecision(x)).toBe(x);
    }
    const half = normal([3], 1).to('float16');
    expect(singlePrecision(half).dtype).toBe('float32');
    expect(singlePrecision(half).tolist()).toEqual(half.tolist());
  });
});

test.each(contrastTypes)('contrast, %s: banks, loss and gradient', (type) => {
  tidy(() => {
    const head = headOf(1);
    const run = (pick: 0 | 1) => {
      const contrast = new PixelContrast(CLASSES, { ...tinyContrast, type }, 3);
      const view = (seed: number) => ({ features: both(seed)[pick], logits: logits(seed) });
      for (const seed of [1, 3]) {
        contrast.storeSource(view(seed), labels(seed), head);
        contrast.storeTarget(view(seed + 10), head);
      }
      const features = both(5)[pick].requiresGrad_();
      const loss = contrast.loss(features, labels(5).eq(1), view(6), head);
      loss.backward();
      return { loss, gradient: features.grad!, kept: contrast.stateDict() };
    };
    const [half, single] = [run(0), run(1)];
    expect(half.loss.dtype).toBe('float32');
    expect(half.loss.item()).toBeCloseTo(single.loss.item(), 6);
    for (const [name, value] of half.kept) {
      expect(value.dtype, name).not.toBe('bfloat16');
      expect(difference(value.toArray(), single.kept.get(name)!.toArray()), name).toBeLessThan(1e-6);
    }
    expectRounded(half.gradient, single.gradient);
  });
});

describe('the projection head', () => {
  test('gives float32 rows of unit length under autocast, with and without gradient', () => {
    tidy(() => {
      const head = headOf(2);
      const rows = normal([50, WIDTH], 1);
      const exact = noGrad(() => head.call(rows));
      for (const input of [rows, rows.to('bfloat16')]) {
        for (const z of [
          autocast('bfloat16', () => head.call(input)),
          noGrad(() => autocast('bfloat16', () => head.call(input))),
        ]) {
          expect(z.dtype).toBe('float32');
          expect(z.norm(2, [1]).sub(1).abs().max().item()).toBeLessThan(1e-6);
          const apart = difference(z.toArray(), exact.toArray());
          expect(apart).toBeLessThan(0.05);
          // The layers were in 16 bits.
          expect(apart).toBeGreaterThan(1e-5);
        }
      }
    });
  });
});

test('feature distance, of two maps in 16 bits or of one', () => {
  tidy(() => {
    const mask = uniform([2, ...SIZE], 3)
      .gt(0.5)
      .to('float32');
    const run = (own: Tensor, frozen: Tensor) => {
      const features = own.detach().requiresGrad_();
      const loss = featureDistance(features, frozen, mask);
      loss.backward();
      return { loss, gradient: features.grad! };
    };
    const [own, frozen] = [both(1), both(2)];
    const single = run(own[1], frozen[1]);
    for (const pick of [0, 1] as const) {
      const half = run(own[0], frozen[pick]);
      expect(half.loss.dtype).toBe('float32');
      expect(half.loss.item()).toBeCloseTo(single.loss.item(), 6);
      expectRounded(half.gradient, single.gradient);
    }
  });
});

test('aligned channels', () => {
  tidy(() => {
    const run = (pick: 0 | 1) => {
      const map = both(1)[pick].requiresGrad_();
      const aligned = alignChannels(map, channelStatistics(both(2)[pick]));
      aligned.mul(normal(aligned.shape, 3)).sum().backward();
      return { aligned, gradient: map.grad! };
    };
    const [half, single] = [run(0), run(1)];
    expect(half.aligned.dtype).toBe('float32');
    expect(difference(half.aligned.toArray(), single.aligned.toArray())).toBeLessThan(1e-6);
    expectRounded(half.gradient, single.gradient);
  });
});

test('denoising by prototypes', () => {
  tidy(() => {
    const neverAsked = (): Tensor => {
      throw new Error('no further view is needed');
    };
    const run = (pick: 0 | 1) => {
      const denoiser = new Denoiser(denoisers.prototypes, CLASSES, WIDTH);
      const [, second] = [1, 2].map((seed) =>
        denoiser.refine({ features: both(seed)[pick], logits: logits(seed) }, logits(seed), neverAsked),
      );
      return { logits: second!.labels.logits, centres: denoiser.prototypes!.centres };
    };
    const [half, single] = [run(0), run(1)];
    expect(half.logits.dtype).toBe('float32');
    expect(difference(half.logits.toArray(), single.logits.toArray())).toBeLessThan(1e-5);
    expect(difference(half.centres.toArray(), single.centres.toArray())).toBeLessThan(1e-6);
  });
});

test.each([true, false])('weights from gradient norms, with contrast: %s', (contrasts) => {
  tidy(() => {
    const run = (pick: 0 | 1) => {
      const start = { target: 1, contrast: contrasts ? 0.1 : undefined };
      const weighting = new GradientNormWeights(start, 0.5, 'cpu', alone);
      const [ofSource, ofMixed] = [both(1)[pick].requiresGrad_(), both(2)[pick].requiresGrad_()];
      const source = {
        loss: singlePrecision(ofSource).square().mean(),
        features: ofSource,
        label: labels(1),
      };
      const mixed: WeightedTerms['mixed'] = {
        features: ofMixed,
        logits: singlePrecision(ofMixed).narrow(1, 0, CLASSES),
        label: labels(2),
        weight: uniform(labels(2).shape, 4),
        mask: labels(3).eq(1),
      };
      const contrast = contrasts && { loss: singlePrecision(ofMixed).exp().mean(), features: ofMixed };
      const used = weighting.lossWeights();
      source.loss.backward();
      const after = weighting.watch({ source, mixed, ...(contrast && { contrast }) }, used);
      const target = singlePrecision(ofMixed).pow(4).mean();
      (contrast ? target.add(contrast.loss.mul(used.contrast!)) : target).backward();
      after();
      return Object.values(weighting.lossWeights()).map((weight: Tensor) => {
        expect(weight.dtype).toBe('float32');
        return weight.item();
      });
    };
    const [half, single] = [run(0), run(1)];
    for (const [i, weight] of half.entries()) expect(Math.abs(weight / single[i]! - 1)).toBeLessThan(2e-3);
    expect(single[0]).not.toBeCloseTo(1, 2);
    if (contrasts) expect(single[1]).not.toBeCloseTo(0.1, 3);
  });
});
