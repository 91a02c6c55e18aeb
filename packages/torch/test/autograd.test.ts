// Autograd: gradients against finite differences and by hand, accumulation, higher order, modes, and misuse.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  enableGrad,
  full,
  Generator,
  grad,
  inferenceMode,
  noGrad,
  ones,
  ops,
  randn,
  type Tensor,
  TorchError,
  tensor,
  tidy,
  zeros,
} from '../src/index.js';
import { gradcheck } from './support/reference.js';

const leaf = (values: number[]) => tensor(values, { requiresGrad: true });

describe('backward', () => {
  test('gives the gradient of a scalar', () => {
    const x = leaf([1, 2, 3]);
    x.mul(x).sum().backward();
    expect(x.grad!.tolist()).toEqual([2, 4, 6]);
  });

  test('accumulates until the gradient is dropped', () => {
    const x = leaf([1]);
    x.mul(2).backward();
    x.mul(3).backward();
    expect(x.grad!.tolist()).toEqual([5]);
    x.grad = null;
    expect(x.grad).toBeNull();
    x.mul(3).backward();
    expect(x.grad!.tolist()).toEqual([3]);
  });

  test('takes a gradient of the output', () => {
    const x = leaf([1, 2]);
    x.mul(10).backward(tensor([1, -1]));
    expect(x.grad!.tolist()).toEqual([10, -10]);
  });

  test('a gradient can be set', () => {
    const x = leaf([1, 2]);
    x.grad = tensor([3, 4]);
    x.sum().backward();
    expect(x.grad!.tolist()).toEqual([4, 5]);
  });

  test('a graph serves once, or as often as asked for', () => {
    const x = leaf([2]);
    const y = x.mul(x);
    y.backward(null, { retainGraph: true });
    y.backward();
    expect(x.grad!.item()).toBe(8);
    expect(() => y.backward()).toThrow(
      /^backward\(float32\[1\]\): Trying to backward through the graph a second time/,
    );
  });

  test('flows through in-place operators and views', () => {
    const x = leaf([1, 2, 3, 4]);
    const y = x.mul(1);
    y.view([2, 2]).select(0, 1).mul_(10);
    y.sum().backward();
    expect(x.grad!.tolist()).toEqual([1, 1, 10, 10]);
  });

  test('agrees with finite differences for random expressions', () => {
    const unary = ['tanh', 'sin', 'exp', 'sigmoid', 'softplus', 'gelu', 'square'] as const;
    const binary = ['add', 'sub', 'mul', 'maximum', 'matmul'] as const;
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(...unary), fc.constantFrom(...binary)), {
          minLength: 1,
          maxLength: 4,
        }),
        fc.nat(),
        (steps, seed) => {
          const generator = new Generator(seed);
          const make = () => randn([3, 3], { dtype: 'float64', generator }).mul_(0.5).requiresGrad_();
          const [a, b] = [make(), make()];
          const fn = () => steps.reduce<Tensor>((y, [f, g]) => ops[g](ops[f](y), b).mul(0.3), a);
          expect(gradcheck(fn, [a, b])).toBeLessThan(1e-6);
        },
      ),
      { numRuns: 30, seed: 5 },
    );
  });

  test('a graph of 20,000 operators', () => {
    const x = leaf([1]);
    tidy(() => {
      let y: Tensor = x;
      for (let i = 0; i < 20_000; i++) y = y.add(0);
      y.backward();
    });
    expect(x.grad!.item()).toBe(1);
  });
});

describe('grad', () => {
  test('leaves .grad alone', () => {
    const [x, y] = [leaf([3]), leaf([4])];
    const [gx, gy] = grad(x.mul(y), [x, y]);
    expect([gx!.item(), gy!.item(), x.grad, y.grad]).toEqual([4, 3, null, null]);
  });

  test('of several outputs, weighted', () => {
    const x = leaf([3]);
    const outputs = [x.mul(2), x.mul(x)];
    const [g] = grad(outputs, [x], { gradOutputs: [tensor([10]), null] });
    expect(g!.item()).toBe(20 + 6);
  });

  test('of a gradient', () => {
    const x = leaf([2]);
    const [first] = grad(x.pow(4), [x], { createGraph: true });
    const [second] = grad(first!, [x], { createGraph: true });
    const [third] = grad(second!, [x]);
    expect([first!.item(), second!.item(), third!.item()]).toEqual([32, 48, 48]);
  });

  test('an input that is not used is an error, or null where allowed', () => {
    const [x, unused] = [leaf([1]), leaf([1])];
    expect(() => grad(x.mul(2), [unused])).toThrow(/^grad\(.*appears to not have been used in the graph/);
    const [gx, none] = grad(x.mul(2), [x, unused], { allowUnused: true });
    expect([gx!.item(), none]).toEqual([2, null]);
  });

  test('misuse', () => {
    const x = leaf([1]);
    expect(() => grad(x, [x], { gradOutputs: [] })).toThrow(
      new RangeError('gradOutputs has 0 entries for 1 outputs'),
    );
    expect(() => grad(x.mul(2), [])).toThrow(TorchError);
    expect(() => grad([], [x])).toThrow();
    expect(() => grad(x, ['x' as never])).toThrow(new TypeError('expected a Tensor, got string'));
    expect(() => grad('x' as never, [x])).toThrow(TypeError);
  });
});

describe('modes', () => {
  test('noGrad records nothing, enableGrad records again inside it', () => {
    const x = leaf([1]);
    expect(x.mul(2).requiresGrad).toBe(true);
    noGrad(() => {
      expect(x.mul(2).requiresGrad).toBe(false);
      enableGrad(() => expect(x.mul(2).requiresGrad).toBe(true));
      expect(x.mul(2).requiresGrad).toBe(false);
    });
    expect(x.mul(2).requiresGrad).toBe(true);
    expect(noGrad(() => 5)).toBe(5);
  });

  test('inferenceMode makes tensors that no graph takes', () => {
    const x = leaf([1]);
    const inside = inferenceMode(() => x.mul(2));
    expect(inside.requiresGrad).toBe(false);
    expect(() => inside.mul(x)).toThrow(/Inference tensors cannot be saved for backward/);
    expect(
      inferenceMode(() =>
        inferenceMode(() => x.add(1))
          .add(1)
          .item(),
      ),
    ).toBe(3);
    expect(x.mul(2).requiresGrad).toBe(true);
  });

  test('end when the function throws', () => {
    const x = leaf([1]);
    for (const mode of [noGrad, inferenceMode, enableGrad]) {
      const fault = () => {
        throw new Error('inside');
      };
      expect(() => mode(fault)).toThrow('inside');
      expect(() => noGrad(() => mode(fault))).toThrow('inside');
      expect(x.mul(2).requiresGrad).toBe(true);
    }
  });

  test('refuse functions that continue later', () => {
    for (const mode of [noGrad, enableGrad, inferenceMode]) {
      expect(() => mode(async () => 1)).toThrow(
        /\(\) needs a synchronous function: the mode ends when it returns/,
      );
    }
    expect(leaf([1]).mul(2).requiresGrad).toBe(true);
  });

  test('nest in any order', () => {
    const x = leaf([1]);
    const modes = { noGrad: false, enableGrad: true, inferenceMode: false };
    const functions = { noGrad, enableGrad, inferenceMode };
    fc.assert(
      fc.property(fc.array(fc.constantFrom('noGrad', 'enableGrad'), { maxLength: 6 }), (order) => {
        const enter = (depth: number): void => {
          const name = order[depth - 1] as keyof typeof modes | undefined;
          expect(x.mul(2).requiresGrad).toBe(name === undefined ? true : modes[name]);
          if (depth < order.length) functions[order[depth]!](() => enter(depth + 1));
          expect(x.mul(2).requiresGrad).toBe(name === undefined ? true : modes[name]);
        };
        enter(0);
      }),
    );
  });
});

describe('misuse', () => {
  test.each<[string, () => unknown, RegExp]>([
    ['no graph', () => ones([1]).backward(), /^backward\(float32\[1\]\): .*does not require grad/],
    [
      'more than one element',
      () => leaf([1, 2]).mul(2).backward(),
      /^backward\(float32\[2\]\): grad can be implicitly/,
    ],
    [
      'a gradient of another shape',
      () =>
        leaf([1, 2])
          .mul(2)
          .backward(ones([3])),
      /^backward\(float32\[2\], float32\[3\]\): invalid gradient at index 0 - got \[3\]/,
    ],
    [
      'whole numbers',
      () => zeros([1], { dtype: 'int64' }).requiresGrad_(),
      /^requiresGrad_\(int64\[1\], true\): Only Tensors of floating point/,
    ],
    [
      'not a leaf',
      () => leaf([1]).mul(2).requiresGrad_(false),
      /^requiresGrad_\(float32\[1\], false\): you can only change/,
    ],
    [
      'writing to a leaf',
      () => leaf([1]).add_(1),
      /leaf Variable that requires grad is being used in an in-place/,
    ],
    [
      'writing to what backward needs',
      () => {
        const y = leaf([1]).exp();
        y.add_(1);
        y.backward();
      },
      /^backward\(float32\[1\]\): one of the variables needed for gradient computation has been modified/,
    ],
    [
      'a gradient set of another shape',
      () => {
        leaf([1]).grad = ones([2]);
      },
      /^grad\(float32\[1\], float32\[2\]\): a gradient has the shape, dtype and device of its tensor/,
    ],
    [
      'a gradient set of another dtype',
      () => {
        leaf([1]).grad = ones([1], { dtype: 'float64' });
      },
      /a gradient has the shape, dtype/,
    ],
    [
      'a tensor as its own gradient',
      () => {
        const x = leaf([1]);
        x.grad = x;
      },
      /cannot be its own gradient/,
    ],
  ])('%s', (_, call, message) => {
    expect(call).toThrow(TorchError);
    expect(call).toThrow(message);
  });

  test('arguments that are no tensors', () => {
    const y = full([1], 2, { requiresGrad: true }).mul(2);
    expect(() => y.backward('x' as never)).toThrow(new TypeError('expected a Tensor, got string'));
    expect(() => {
      y.grad = 5 as never;
    }).toThrow(new TypeError('expected a Tensor, got number'));
    expect(() => y.requiresGrad_('yes' as never)).toThrow(/requiresGrad_\(.*boolean was expected/);
    const gone = ones([1]);
    gone.dispose();
    expect(() => y.backward(gone)).toThrow(new TypeError('the tensor was disposed'));
    expect(() => grad(y, [gone])).toThrow(new TypeError('the tensor was disposed'));
  });
});
