// The depthwise convolution of our own against libtorch's convolution in float64: both memory orders, both widths.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { autocast, type DType, Generator, nn, ops, randn, type Tensor, tidy } from '../../src/index.js';
import { type Arguments, type Convolution, largestError, passes } from '../support/convolution.js';

interface Case {
  seed: number;
  batch: number;
  channels: number;
  height: number;
  width: number;
  kernel: number;
  dilation: number;
  padding: number;
  bias: boolean;
  channelsLast: boolean;
}

const cases: fc.Arbitrary<Case> = fc
  .record({
    seed: fc.integer({ min: 0, max: 1e6 }),
    batch: fc.integer({ min: 1, max: 2 }),
    // Below, at and above the channels that are taken together, and what is left of a vector.
    channels: fc.constantFrom(1, 5, 8, 31, 32, 33, 40, 64, 70),
    height: fc.integer({ min: 1, max: 14 }),
    width: fc.integer({ min: 1, max: 14 }),
    kernel: fc.constantFrom(1, 3, 5),
    dilation: fc.integer({ min: 1, max: 5 }),
    padding: fc.integer({ min: 0, max: 8 }),
    bias: fc.boolean(),
    channelsLast: fc.boolean(),
  })
  .filter(({ height, width, kernel, dilation, padding }) => {
    return Math.min(height, width) + 2 * padding > dilation * (kernel - 1);
  });

/** The arguments, the input in the dtype; and a gradient of the output in it. */
function build(given: Case, dtype: DType): { arguments_: Arguments; gradient: Tensor } {
  const { seed, batch, channels, height, width, kernel, dilation, padding } = given;
  const generator = new Generator(seed);
  const map = (...size: number[]) =>
    randn([batch, channels, ...size], { generator })
      .contiguous({ memoryFormat: given.channelsLast ? 'channelsLast' : 'contiguous' })
      .to(dtype);
  const out = (side: number) => side + 2 * padding - dilation * (kernel - 1);
  const x = map(height, width);
  const weight = randn([channels, 1, kernel, kernel], { generator });
  const bias = given.bias ? [randn([channels], { generator })] : [];
  return { arguments_: [x, weight, ...bias] as Arguments, gradient: map(out(height), out(width)) };
}

const geometry = ({ padding, dilation }: Case) =>
  [
    [1, 1],
    [padding, padding],
    [dilation, dilation],
  ] as const;

const own = (given: Case): Convolution => {
  return (x, weight, bias) =>
    ops.call('pgpc::depthwise_conv2d', x, weight, bias ?? null, ...geometry(given)) as Tensor;
};
const libtorch = (given: Case): Convolution => {
  return (x, weight, bias) => ops.conv2d(x, weight, bias ?? null, ...geometry(given), given.channels);
};

function expectNear(found: Tensor[], wanted: Tensor[], magnitudes: Tensor[], tolerances: number[]): void {
  for (const [i, tensor] of found.entries()) {
    const error = largestError(tensor, wanted[i]!, magnitudes[i]!);
    expect(error, `result ${i}`).toBeLessThan(tolerances[i]!);
  }
}

const FLOAT32 = 1e-6;
/** bfloat16 has 8 bits; the last of a result is rounded. */
const BFLOAT16 = 2 ** -8;

describe('depthwise convolution', () => {
  test.each([
    ['float32', [FLOAT32, FLOAT32, FLOAT32, FLOAT32]],
    // The filter stays in float32, and so do its gradient and the bias's.
    ['bfloat16', [BFLOAT16, BFLOAT16, FLOAT32, FLOAT32]],
  ] as const)('in %s, with its gradients', (dtype, tolerances) => {
    fc.assert(
      fc.property(cases, (given) =>
        tidy(() => {
          const { arguments_, gradient } = build(given, dtype);
          const found = passes(own(given), arguments_, gradient);
          const dtypes = [dtype, dtype, 'float32', 'float32'];
          expect(found.map((tensor) => tensor.dtype)).toEqual(dtypes.slice(0, found.length));
          const exactly = arguments_.map((tensor) => tensor.to('float64')) as Arguments;
          const wanted = passes(libtorch(given), exactly, gradient.to('float64'));
          const positive = exactly.map((tensor) => tensor.abs()) as Arguments;
          const magnitudes = passes(libtorch(given), positive, gradient.to('float64').abs());
          expectNear(found, wanted, magnitudes, [...tolerances]);
        }),
      ),
      { numRuns: 150 },
    );
  });

  test.each([false, true])('under autocast it is that of bfloat16, channels last: %s', (channelsLast) => {
    tidy(() => {
      const given: Case = {
        ...{ seed: 1, batch: 2, channels: 40, height: 9, width: 7 },
        ...{ kernel: 3, dilation: 2, padding: 2, bias: true, channelsLast },
      };
      const { arguments_, gradient } = build(given, 'bfloat16');
      const wanted = passes(own(given), arguments_, gradient);
      using layer = new nn.Conv2d(40, 40, 3, { padding: 2, dilation: 2, groups: 40 });
      const [x, weight, bias] = arguments_;
      layer.loadStateDict(
        new Map([
          ['weight', weight],
          ['bias', bias!],
        ]),
      );
      const wide = x.to('float32').requiresGrad_();
      const y = autocast('bfloat16', () => layer.call(wide));
      y.mul(gradient).sum().backward();
      expect(y.dtype).toBe('bfloat16');
      expect(y.sub(wanted[0]!).abs().max().item()).toBe(0);
      const gradients = [wide.grad!, layer.weight.grad!, layer.bias!.grad!];
      for (const [i, found] of gradients.entries()) {
        expect(found.dtype).toBe('float32');
        expect(
          found
            .sub(wanted[i + 1]!)
            .abs()
            .max()
            .item(),
        ).toBe(0);
      }
    });
  });

  test('filters of 16 bits have gradients of 16 bits', () => {
    tidy(() => {
      const given: Case = {
        ...{ seed: 2, batch: 1, channels: 6, height: 5, width: 5 },
        ...{ kernel: 3, dilation: 2, padding: 1, bias: true, channelsLast: false },
      };
      const { arguments_, gradient } = build(given, 'bfloat16');
      const narrow = arguments_.map((tensor) => tensor.to('bfloat16')) as Arguments;
      const found = passes(own(given), narrow, gradient);
      const wide = [narrow[0], narrow[1].to('float32'), narrow[2]!.to('float32')] as Arguments;
      const wanted = passes(own(given), wide, gradient);
      for (const [i, tensor] of found.entries()) {
        expect(tensor.dtype).toBe('bfloat16');
        expect(tensor.sub(wanted[i]!.to('bfloat16')).abs().max().item()).toBe(0);
      }
    });
  });

  test('NaN stays NaN in bfloat16, and what is too large becomes infinite', () => {
    tidy(() => {
      const x = randn([1, 8, 2, 2]).to('bfloat16').contiguous({ memoryFormat: 'channelsLast' });
      const one = (value: number) => x.onesLike().mul(value);
      const weight = randn([8, 1, 1, 1]).onesLike().mul(2);
      const y = (value: number) => {
        const found = ops.call('pgpc::depthwise_conv2d', one(value), weight, null, [1, 1], [0, 0], [1, 1]);
        return new Set((found as Tensor).flatten().tolist() as number[]);
      };
      expect(y(Number.NaN)).toEqual(new Set([Number.NaN]));
      expect(y(3e38)).toEqual(new Set([Number.POSITIVE_INFINITY]));
      expect(y(-0.5)).toEqual(new Set([-1]));
    });
  });
});
