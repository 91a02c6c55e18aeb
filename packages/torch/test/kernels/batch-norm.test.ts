// Batch norm of our own against libtorch's in float64.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type DType,
  Generator,
  grad,
  nn,
  ones,
  ops,
  randn,
  type Tensor,
  tidy,
  zeros,
} from '../../src/index.js';

interface Shape {
  seed: number;
  batch: number;
  channels: number;
  height: number;
  width: number;
  /** Far from 0, sums of squares alone would lose the variance. */
  offset: number;
  channelsLast: boolean;
}

const shapes: fc.Arbitrary<Shape> = fc.record({
  seed: fc.integer({ min: 0, max: 1e6 }),
  batch: fc.integer({ min: 1, max: 3 }),
  channels: fc.integer({ min: 1, max: 5 }),
  // Less than a vector, and more than are added up in float32 at once.
  height: fc.constantFrom(3, 8, 23, 40),
  width: fc.constantFrom(2, 5, 16, 37),
  offset: fc.constantFrom(0, 1, -100),
  channelsLast: fc.boolean(),
});

function build({ seed, batch, channels, height, width, offset, channelsLast }: Shape) {
  const generator = new Generator(seed);
  const normal = (...shape: number[]) => randn(shape, { generator });
  const memoryFormat = channelsLast ? 'channelsLast' : 'contiguous';
  const x = normal(batch, channels, height, width).add(offset).contiguous({ memoryFormat });
  return { x, weight: normal(channels), bias: normal(channels), gradient: normal(...x.shape) };
}

/** Output, running statistics and gradients. @param norm gives the output and moves the statistics. */
function passes(
  { x, weight, bias, gradient }: ReturnType<typeof build>,
  dtype: DType,
  norm: (x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) => Tensor,
): Tensor[] {
  const leaves = [x, weight, bias].map((t) => t.to(dtype).detach().requiresGrad_());
  const [mean, variance] = [zeros([weight.numel], { dtype }), ones([weight.numel], { dtype })];
  const y = norm(leaves[0]!, leaves[1]!, leaves[2]!, mean, variance);
  return [y, mean, variance, ...(grad(y.mul(gradient.to(dtype)).sum(), leaves) as Tensor[])];
}

const own = (...given: Parameters<Parameters<typeof passes>[2]>) =>
  ops.call('pgpc::batch_norm_train', ...given, 0.3, 1e-5) as Tensor;

test('outputs, running statistics and gradients', () => {
  fc.assert(
    fc.property(shapes, (shape) =>
      tidy(() => {
        const given = build(shape);
        const found = passes(given, 'float32', own);
        const libtorch = (dtype: DType) =>
          passes(given, dtype, (...rest) => ops.batchNorm(...rest, true, 0.3, 1e-5, false));
        const [wanted, theirs] = [libtorch('float64'), libtorch('float32')];
        // A value of 100 has a unit of 8e-6 in its last place, against a deviation of 1.
        const tolerance = 2e-5 * Math.max(1, Math.abs(shape.offset) / 4);
        for (const [i, tensor] of found.entries()) {
          const scale = Math.max(1, wanted[i]!.abs().max().item());
          const error = (of: Tensor) => of.to('float64').sub(wanted[i]!).abs().max().item() / scale;
          // The gradients' sum over the pixels multiplies the rounding of the mean, in libtorch's float32 as well.
          expect(error(tensor), `result ${i}`).toBeLessThan(Math.max(tolerance, 2 * error(theirs[i]!)));
        }
      }),
    ),
    { numRuns: 100 },
  );
});

test('a single value a channel gives what libtorch gives, and NaN is not lost', () => {
  tidy(() => {
    const one = build({
      seed: 1,
      batch: 1,
      channels: 2,
      height: 1,
      width: 1,
      offset: 0,
      channelsLast: false,
    });
    const [y] = passes(one, 'float32', own);
    const [wanted] = passes(one, 'float32', (...rest) => ops.batchNorm(...rest, true, 0.3, 1e-5, false));
    expect(y!.tolist()).toEqual(wanted!.tolist());

    const x = ones([1, 1, 4, 4]).mul(Number.NaN);
    using layer = new nn.BatchNorm2d(1);
    expect(new Set(layer.call(x).flatten().tolist() as number[])).toEqual(new Set([Number.NaN]));
  });
});
