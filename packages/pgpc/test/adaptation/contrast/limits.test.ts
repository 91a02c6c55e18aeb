// The least that the contrastive loss can be on separable features, and that each of its types comes down to it.

import { Generator, noGrad, optim, rand, type Tensor, tensor, tidy } from '@pgpc/torch';
import { describe, expect, test } from 'vitest';
import { PixelContrast, type PixelView } from '../../../src/adaptation/contrast/contrast.js';
import { ProjectionHead } from '../../../src/adaptation/contrast/projection-head.js';
import { tinyContrast } from '../../support/method.js';

describe('on separable features', () => {
  const [WIDTH, TAU, N] = [4, 0.7, 6];
  const axis = (c: number) => Array.from({ length: WIDTH }, (_, d) => Number(c === d));

  /** A head that does nothing but normalise. */
  function identity(): ProjectionHead {
    using generator = new Generator(0);
    const head = new ProjectionHead(WIDTH, { width: WIDTH, depth: 1 }, generator);
    noGrad(() => {
      const [layer] = head.layers.items;
      layer!.weight.copy_(tensor(Array.from({ length: WIDTH }, (_, c) => axis(c))));
      layer!.bias!.zero_();
    });
    return head;
  }

  /** A row of pixels, each with the axis of its class as feature; the network is sure of each. */
  function scene(classes: number): { view: PixelView; label: Tensor } {
    const of = Array.from({ length: 2 * classes }, (_, i) => i % classes);
    return tidy(() => {
      const rows = tensor(of.map(axis));
      const label = tensor([of], { dtype: 'int64' }).unsqueeze(0);
      const logits = rows.narrow(1, 0, classes).mul(20);
      const map = (x: Tensor) => x.t().unsqueeze(0).unsqueeze(2).contiguous();
      return { view: { features: map(rows), logits: map(logits) }, label };
    });
  }

  /**
   * With positive e_c and negatives e_k, a unit vector a e_c - b sum_k e_k / sqrt(K) with a^2 + b^2 = 1 is ahead by
   * a + b / sqrt(K) of every one of the K other classes, at most by sqrt(1 + 1 / K); since the loss is convex in z and the
   * same for all orders of the others, none does better where each has the same number of negatives:
   * log(1 + N exp(-sqrt(1 + 1 / K) / tau)).
   */
  const limit = (negatives: number, others: number) =>
    Math.log1p(negatives * Math.exp(-Math.sqrt(1 + 1 / others) / TAU));

  // Drawn negatives are alike only if there is one other class.
  test.each([
    ['hybrid', 2, limit(N, 1), {}],
    ['hybrid, negatives of its own for each anchor', 2, limit(N, 1), { perAnchorNegatives: true }],
    ['hybrid, prototypes of the target', 2, limit(N, 1), { prototypeDomains: 'target' }],
    ['pixel-to-pixel', 2, limit(N, 1), { type: 'pixel-to-pixel' }],
    ['pixel-to-prototype', 2, limit(1, 1), { type: 'pixel-to-prototype' }],
    ['pixel-to-prototype of more classes', 4, limit(3, 3), { type: 'pixel-to-prototype' }],
  ] as const)('the loss falls to its limit: %s', (_, classes, expected, chosen) => {
    tidy(() => {
      const options = { ...tinyContrast, ...chosen, rank: 1, negatives: N, temperature: TAU, width: WIDTH };
      const contrast = new PixelContrast(classes, { ...options, anchorShare: 1 }, 1);
      const [head, { view, label }] = [identity(), scene(classes)];
      contrast.storeSource(view, label, head);
      contrast.storeTarget(view, head);
      using generator = new Generator(2);
      const features = rand(view.features.shape, { generator }).requiresGrad_();
      const optimizer = new optim.AdamW([{ params: [features], lr: 0.1, weightDecay: 0 }]);
      const losses: number[] = [];
      for (let i = 0; i < 150; i++) {
        tidy(() => {
          optimizer.zeroGrad();
          const loss = contrast.loss(features, undefined, view, head);
          loss.backward();
          optimizer.step();
          losses.push(loss.item());
        });
      }
      expect(losses[0]).toBeGreaterThan(1.3 * expected);
      expect(Math.min(...losses)).toBeGreaterThan(expected - 1e-6);
      expect(losses.at(-1)! - expected).toBeLessThan(1e-3 * expected);
      optimizer.dispose();
      contrast.dispose();
    });
  });
});
