// What is trained beside a plain transformer: against slow versions, and merged.

import { fromTypedArray, Generator, noGrad, type Tensor, tidy } from '@pgpc/torch';
import { describe, expect, test } from 'vitest';
import type { VitConfig } from '../../src/config/vit.js';
import { LowRank, Rein, withoutLowRank } from '../../src/models/adapters.js';
import { VisionTransformer } from '../../src/models/vit.js';
import { normal } from '../support/method.js';

const vit: VitConfig = {
  dim: 8,
  depth: 4,
  heads: 2,
  patch: 14,
  registers: 1,
  ffn: 'mlp',
  hidden: 16,
  eps: 1e-6,
  positions: { side: 2, offset: 0, antialias: true },
  layerScale: 1,
};

type Matrix = number[][];
const matrix = (tensor: Tensor): Matrix => {
  const [rows, columns] = tensor.shape as [number, number];
  const flat = [...(tensor.contiguous().toArray() as Float32Array)];
  return Array.from({ length: rows }, (_, i) => flat.slice(i * columns, (i + 1) * columns));
};
const dot = (a: readonly number[], b: readonly number[]) =>
  a.reduce((sum, value, i) => sum + value * b[i]!, 0);
/** x W^T + bias */
const slowLinear = (x: Matrix, weight: Matrix, bias: readonly number[]): Matrix =>
  x.map((row) => weight.map((column, i) => dot(row, column) + (bias[i] ?? 0)));

function expectClose(actual: Tensor, expected: Matrix, tolerance = 1e-5): void {
  const flat = fromTypedArray(Float32Array.from(expected.flat()), actual.shape);
  expect(actual.sub(flat).abs().max().item()).toBeLessThan(tolerance);
}

test('a low-rank change is twice b a x, and nothing at first', () => {
  tidy(() => {
    using generator = new Generator(1);
    using change = new LowRank(5, 7, 2, generator);
    const x = normal([3, 5], 2);
    expect(change.call(x).abs().max().item()).toBe(0);
    noGrad(() => change.b.copy_(normal([7, 2], 3)));
    const [a, b] = [matrix(change.a), matrix(change.b)];
    const slow = slowLinear(slowLinear(matrix(x), a, []), b, []).map((row) => row.map((value) => 2 * value));
    expectClose(change.call(x), slow);
  });
});

test("Rein's change is that of the paper, one patch at a time; the class token stays", () => {
  tidy(() => {
    using generator = new Generator(4);
    using rein = new Rein({ dim: 6, depth: 3, tokens: 5, rank: 2 }, generator);
    noGrad(() => rein.scale.fill_(0.7));
    noGrad(() => rein.a.copy_(normal(rein.a.shape, 5)));
    const x = normal([1, 4, 6], 6);
    const changed = rein.call(x, 1);
    expect(changed.narrow(1, 0, 1).equal(x.narrow(1, 0, 1))).toBe(true);
    const block = (tensor: Tensor) => matrix(tensor.select(0, 1));
    const [a, b] = [block(rein.a), block(rein.b)];
    const tokens = a.map((row) =>
      b[0]!.map((_, d) => row.reduce((sum, value, r) => sum + value * b[r]![d]!, 0)),
    );
    const features = slowLinear(
      tokens.slice(1),
      matrix(rein.tokenToFeature.weight),
      rein.tokenToFeature.bias!.tolist() as number[],
    );
    const slow = matrix(x.select(0, 0))
      .slice(1)
      .map((patch) => {
        const scores = tokens.map((token) => Math.exp(dot(patch, token) / Math.sqrt(6)));
        const total = scores.reduce((sum, score) => sum + score, 0);
        const shared = patch.map((value, d) =>
          features.reduce((sum, feature, j) => sum + (scores[j + 1]! / total) * feature[d]!, value),
        );
        const [delta] = slowLinear(
          [shared],
          matrix(rein.delta.weight),
          rein.delta.bias!.tolist() as number[],
        );
        return patch.map((value, d) => value + 0.7 * delta![d]!);
      });
    expectClose(changed.narrow(1, 1, 3), slow);
  });
});

describe('in a transformer', () => {
  test('a new low-rank change changes nothing, and a trained one is merged into the weights', () => {
    tidy(() => {
      using generator = new Generator(7);
      using changed = new VisionTransformer(vit, generator, { kind: 'lora', rank: 3 });
      using plain = new VisionTransformer(vit, generator);
      const image = normal([2, 3, 28, 42], 8);
      const last = (network: VisionTransformer) => noGrad(() => network.call(image).at(-1)!);
      plain.loadStateDict(withoutLowRank(changed.stateDict()));
      expect(last(changed).equal(last(plain))).toBe(true);
      for (const [name, parameter] of changed.namedParameters()) {
        if (name.endsWith('lora.b')) noGrad(() => parameter.copy_(normal(parameter.shape, 9)));
      }
      expect(last(changed).sub(last(plain)).abs().max().item()).toBeGreaterThan(0.01);
      plain.loadStateDict(withoutLowRank(changed.stateDict()));
      expect(last(changed).sub(last(plain)).abs().max().item()).toBeLessThan(1e-5);
    });
  });

  test('tokens of Rein take part after every block', () => {
    tidy(() => {
      using generator = new Generator(7);
      using network = new VisionTransformer(vit, generator, { kind: 'rein', tokens: 4, rank: 2 });
      network
        .call(normal([1, 3, 28, 28], 8))
        .at(-1)!
        .sin()
        .sum()
        .backward();
      const { a, b } = network.adapter!;
      for (const factor of [a, b]) {
        for (let block = 0; block < vit.depth; block++) {
          expect(factor.grad!.select(0, block).abs().max().item()).toBeGreaterThan(0);
        }
      }
    });
  });
});
