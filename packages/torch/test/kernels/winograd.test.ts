// The 3x3 convolution by Winograd's algorithm against libtorch's convolution in float64, and where it is taken.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { autocast, Generator, grad, nn, ops, profile, randn, type Tensor, tidy } from '../../src/index.js';
import { type Arguments, type Convolution, largestError, passes } from '../support/convolution.js';

interface Case {
  seed: number;
  batch: number;
  inChannels: number;
  outChannels: number;
  height: number;
  width: number;
  bias: boolean;
}

/** Odd and even sides, and one row of tiles or many. All are large enough for the kernel. */
const cases: fc.Arbitrary<Case> = fc
  .record({
    seed: fc.integer({ min: 0, max: 1e6 }),
    batch: fc.integer({ min: 1, max: 4 }),
    inChannels: fc.constantFrom(64, 65, 100, 144),
    outChannels: fc.constantFrom(64, 71, 144),
    height: fc.constantFrom(1, 2, 15, 32, 33),
    width: fc.constantFrom(16, 17, 40, 67, 520),
    bias: fc.boolean(),
  })
  .filter(
    ({ batch, inChannels, outChannels, height, width }) =>
      inChannels * outChannels >= 96 ** 2 &&
      batch * Math.ceil(height / 2) * Math.ceil(width / 2) >= 512 &&
      batch * height * width < 5000,
  );

function build({ seed, batch, inChannels, outChannels, height, width, bias }: Case) {
  const generator = new Generator(seed);
  const x = randn([batch, inChannels, height, width], { generator });
  const weight = randn([outChannels, inChannels, 3, 3], { generator });
  const biases = bias ? [randn([outChannels], { generator })] : [];
  const gradient = randn([batch, outChannels, height, width], { generator });
  return { arguments_: [x, weight, ...biases] as Arguments, gradient };
}

const own: Convolution = (x, weight, bias) =>
  ops.call('pgpc::winograd_conv2d', x, weight, bias ?? null) as Tensor;
const libtorch: Convolution = (x, weight, bias) =>
  ops.conv2d(x, weight, bias ?? null, [1, 1], [1, 1], [1, 1], 1);

/** libtorch's operators that a function calls. */
function operatorsOf(fn: () => void): string[] {
  return profile(fn)
    .byOperator()
    .map(({ name }) => name);
}

describe("Winograd's convolution", () => {
  test('and its gradients are as near to those in float64 as direct sums are', () => {
    const worst = { own: 0, libtorch: 0 };
    fc.assert(
      fc.property(cases, (given) =>
        tidy(() => {
          const { arguments_, gradient } = build(given);
          const exactly = arguments_.map((tensor) => tensor.to('float64')) as Arguments;
          const wanted = passes(libtorch, exactly, gradient.to('float64'));
          const positive = exactly.map((tensor) => tensor.abs()) as Arguments;
          const magnitudes = passes(libtorch, positive, gradient.to('float64').abs());
          for (const [side, convolution] of Object.entries({ own, libtorch })) {
            for (const [i, tensor] of passes(convolution, arguments_, gradient).entries()) {
              const most = largestError(tensor, wanted[i]!, magnitudes[i]!);
              expect(most, `result ${i} of ${side}`).toBeLessThan(1e-6);
              worst[side as keyof typeof worst] = Math.max(worst[side as keyof typeof worst], most);
            }
          }
        }),
      ),
      { numRuns: 12 },
    );
    expect(worst.own).toBeLessThan(3 * worst.libtorch);
  });

  test('does not depend on the rest of the batch, in the values or the gradient of an image', () => {
    tidy(() => {
      const given = {
        seed: 5,
        batch: 3,
        inChannels: 96,
        outChannels: 100,
        height: 40,
        width: 52,
        bias: true,
      };
      const { arguments_, gradient } = build(given);
      const [x, ...others] = arguments_;
      const [all, ofAll] = passes(own, arguments_, gradient);
      const [one, ofOne] = passes(own, [x.narrow(0, 1, 1), ...others] as Arguments, gradient.narrow(0, 1, 1));
      expect(all!.narrow(0, 1, 1).sub(one!).abs().max().item()).toBeLessThan(1e-3);
      expect(ofAll!.narrow(0, 1, 1).sub(ofOne!).abs().max().item()).toBeLessThan(1e-3);
    });
  });

  test('is what a plain 3x3 layer takes where channels and pixels are many, and libtorch has the rest', () => {
    tidy(() => {
      const taken = (layer: nn.Conv2d, x: Tensor) => {
        const names = operatorsOf(() => tidy(() => void layer.call(x)));
        return names.includes('pgpc::winograd_conv2d') && !names.includes('aten::conv2d');
      };
      const layer = (options: object = {}, inChannels = 96) =>
        new nn.Conv2d(inChannels, 96, 3, { padding: 1, bias: false, ...options });
      const map = (...shape: number[]) => randn(shape);
      expect(taken(layer(), map(2, 96, 32, 32))).toBe(true);
      expect(taken(layer({ bias: true }), map(2, 96, 32, 32))).toBe(true);
      expect(taken(layer(), map(1, 96, 32, 32))).toBe(false);
      expect(taken(layer({}, 63), map(2, 63, 32, 32))).toBe(false);
      expect(taken(layer({ padding: 0 }), map(2, 96, 34, 34))).toBe(false);
      expect(taken(layer({ stride: 2 }), map(2, 96, 64, 64))).toBe(false);
      expect(taken(layer({ dilation: 2, padding: 2 }), map(2, 96, 32, 32))).toBe(false);
      expect(taken(layer({ groups: 2 }), map(2, 96, 32, 32))).toBe(false);
      expect(taken(layer(), map(2, 96, 32, 32).contiguous({ memoryFormat: 'channelsLast' }))).toBe(false);
      expect(taken(layer().to({ dtype: 'float64' }), map(2, 96, 32, 32).to('float64'))).toBe(false);
      autocast('bfloat16', () => expect(taken(layer(), map(2, 96, 32, 32))).toBe(false));
      expect(() => layer().call(map(2, 95, 32, 32))).toThrow(/95/);
    });
  });

  test('has a gradient of its gradient', () => {
    tidy(() => {
      const given = {
        seed: 1,
        batch: 1,
        inChannels: 96,
        outChannels: 96,
        height: 46,
        width: 46,
        bias: false,
      };
      const { arguments_, gradient } = build(given);
      const twice = (convolution: Convolution) => {
        const [x, weight] = arguments_.map((tensor) => tensor.detach().requiresGrad_()) as Arguments;
        const once = grad(convolution(x, weight).mul(gradient).sum(), [x], { createGraph: true })[0]!;
        return grad(once.square().sum(), [weight])[0]!;
      };
      const [found, wanted] = [twice(own), twice(libtorch)];
      expect(found.sub(wanted).abs().max().item()).toBeLessThan(1e-3 * (wanted.abs().max().item() as number));
    });
  });
});
