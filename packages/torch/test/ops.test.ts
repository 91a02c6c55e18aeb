// Operator calls: overloads, optional and named arguments, lists, results of every form, and the errors of misuse.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  arange,
  full,
  Generator,
  liveTensors,
  memory,
  ones,
  ops,
  randn,
  type Tensor,
  TorchError,
  tensor,
  tidy,
  zeros,
} from '../src/index.js';
import { native } from '../src/native.js';

/** What `fn` throws. */
function thrown(fn: () => unknown): Error {
  try {
    fn();
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
}

describe('overloads', () => {
  test('are chosen by what is given', () => {
    const x = tensor([1, 2]);
    expect(ops.add(x, x).tolist()).toEqual([2, 4]);
    expect(ops.add(x, 3).tolist()).toEqual([4, 5]);
    expect(ops.add(x, true).tolist()).toEqual([2, 3]);
    expect(ops.pow(2, x).tolist()).toEqual([2, 4]);
    expect(ops.pow(x, 2).tolist()).toEqual([1, 4]);
    expect(x.max().item()).toBe(2);
    const [values, indices] = tensor([[3, 9, 1]]).max(1);
    expect([values.tolist(), indices.tolist()]).toEqual([[9], [1]]);
  });

  test('a whole number keeps whole tensors whole, a fraction does not', () => {
    const x = tensor([1, 2], { dtype: 'int64' });
    expect(x.mul(2).dtype).toBe('int64');
    expect(x.mul(0.5).dtype).toBe('float32');
    expect(x.div(2).dtype).toBe('float32');
  });

  test('methods and functions are one', () => {
    const x = randn([3, 4]);
    expect(x.transpose(0, 1).equal(ops.transpose(x, 0, 1))).toBe(true);
    expect(x.sub(1).tolist()).toEqual(ops.sub(x, 1).tolist());
  });

  test('can be named exactly', () => {
    const x = tensor([1, 2]);
    expect((ops.call('add.Scalar', x, 2) as Tensor).tolist()).toEqual([3, 4]);
    expect((ops.call('aten::mul.Tensor', x, x) as Tensor).tolist()).toEqual([1, 4]);
    expect(() => ops.call('add.Scalar', x, x)).toThrow(
      /^aten::add\.Scalar\(.*other must be a number or boolean/s,
    );
    for (const name of ['nonsense', 'add.Nonsense', 'prim::NumToTensor', '', '::', 'quantized::add']) {
      expect(() => ops.call(name, x)).toThrow(new TypeError(`there is no operator ${name}`));
    }
    expect(() => ops.call(5 as never)).toThrow(TypeError);
  });

  test('every operator has one name in JavaScript', () => {
    const names = native.operatorNames().map(([, name]) => name);
    expect(names.length).toBeGreaterThan(1000);
    expect(new Set(names).size).toBe(names.length);
    expect(names.filter((name) => typeof (ops as never)[name] !== 'function')).toEqual([]);
  });
});

describe('arguments', () => {
  const x = tensor([
    [1, 2, 3],
    [4, 5, 6],
  ]);

  test('may be given by place, by name, or left out', () => {
    expect(x.sum(1).tolist()).toEqual([6, 15]);
    expect(x.sum([1], true).tolist()).toEqual([[6], [15]]);
    expect(x.sum({ dim: [1], keepdim: true }).tolist()).toEqual([[6], [15]]);
    expect(x.sum([1], { keepdim: true }).tolist()).toEqual([[6], [15]]);
    expect(x.sum({ dtype: 'int64' }).dtype).toBe('int64');
    expect(x.softmax(1, undefined).shape).toEqual([2, 3]);
    expect(ops.add(x, x, { alpha: -1 }).tolist()).toEqual(zeros([2, 3]).tolist());
    expect(ops.add(x, x, { alpha: undefined } as never).tolist()).toEqual(x.mul(2).tolist());
    expect(ops.add(x, x, {} as never).tolist()).toEqual(x.mul(2).tolist());
    expect(x.clamp(null, 3).tolist()).toEqual([
      [1, 2, 3],
      [3, 3, 3],
    ]);
    expect(x.clamp({ min: 5 }).tolist()).toEqual([
      [5, 5, 5],
      [5, 5, 6],
    ]);
  });

  test('one number stands for a list where the schema says so', () => {
    const image = ones([1, 1, 4, 4]);
    expect(ops.avgPool2d(image, 2).shape).toEqual([1, 1, 2, 2]);
    expect(ops.avgPool2d(image, [2, 4]).shape).toEqual([1, 1, 2, 1]);
    expect(() => (x.view as unknown as (size: number) => Tensor)(6)).toThrow(TypeError);
  });

  test('lists of tensors, also with gaps and empty', () => {
    expect(ops.cat([x, x], 1).shape).toEqual([2, 6]);
    expect(ops.stack([x], -1).shape).toEqual([2, 3, 1]);
    expect(x.index([null, tensor([0, 2], { dtype: 'int64' })]).tolist()).toEqual([
      [1, 3],
      [4, 6],
    ]);
    expect(() => ops.cat([])).toThrow(TorchError);
  });

  test('strings, dtypes, devices, memory formats and generators', () => {
    expect(x.div(2, { roundingMode: 'floor' }).tolist()).toEqual([
      [0, 1, 1],
      [2, 2, 3],
    ]);
    expect(ops.einsum('ij,ij->i', [x, x]).tolist()).toEqual([14, 77]);
    expect(x.to('float64').dtype).toBe('float64');
    expect(x.to({ dtype: 'float16', device: 'cpu', copy: true }).dtype).toBe('float16');
    expect(ops.empty([1, 2, 2, 2], { memoryFormat: 'channelsLast' }).stride(1)).toBe(1);
    expect(ops.empty([2], { device: 'meta' }).device).toBe('meta');
    const draw = () =>
      zeros([3])
        .uniform_(0, 1, { generator: new Generator(2) })
        .tolist();
    expect(draw()).toEqual(draw());
  });

  test('lists longer than the command buffer', () => {
    const parts = Array.from({ length: 40_000 }, (_, i) => full([1], i % 7));
    const joined = ops.cat(parts);
    expect(joined.numel).toBe(40_000);
    expect(joined.sum().item()).toBe(parts.reduce((total, _, i) => total + (i % 7), 0));
    for (const part of parts) part.dispose();
  });
});

describe('results', () => {
  test('numbers, booleans and lists', () => {
    const x = tensor([3, 4]);
    expect(x.equal(tensor([3, 4]))).toBe(true);
    expect(x.isSameSize(zeros([3]))).toBe(false);
    expect(ops.size(x, 0)).toBe(2);
    expect(ops.qScale(ops._makePerTensorQuantizedTensor(zeros([1], { dtype: 'int8' }), 0.5, 0))).toBe(0.5);
  });

  test('several tensors, and lists of them', () => {
    const [mean, variance] = ops.varMean(tensor([1, 3]), false).reverse() as [Tensor, Tensor];
    expect([mean.item(), variance.item()]).toEqual([2, 1]);
    const parts = arange(5).split(2);
    expect(parts.map((part) => part.tolist())).toEqual([[0, 1], [2, 3], [4]]);
  });

  test('more than the command buffer holds', () => {
    const n = 300_000;
    const before = liveTensors();
    const last = tidy(() => {
      const all = arange(n).unbind();
      expect(all).toHaveLength(n);
      expect(liveTensors() - before).toBe(n + 1);
      return all[n - 1]!.item();
    });
    expect(last).toBe(n - 1);
    expect(liveTensors()).toBe(before);
  });

  test('a gradient that was not asked for is null', () => {
    const x = randn([1, 1, 3, 3]);
    const w = randn([1, 1, 3, 3]);
    const y = ops.conv2d(x, w);
    const [gx, gw, gb] = ops.convolutionBackward(y, x, w, null, [1, 1], [0, 0], [1, 1], false, [0, 0], 1, [
      false,
      true,
      false,
    ]) as (Tensor | null)[];
    expect([gx, gw?.shape, gb]).toEqual([null, [1, 1, 3, 3], null]);
  });

  test('in-place operators return the tensor itself, and no new handle', () => {
    const x = tensor([1, -2]);
    const before = liveTensors();
    expect(x.add_(1)).toBe(x);
    expect(ops.relu_(x)).toBe(x);
    expect(x.mul_(2).sub_(1)).toBe(x);
    expect(x.tolist()).toEqual([3, -1]);
    expect(liveTensors()).toBe(before);
  });

  test('`out` is filled, resized and returned', () => {
    const out = zeros([0]);
    const x = tensor([1, 2]);
    expect(out.shape).toEqual([0]);
    expect(ops.mul(x, x, { out })).toBe(out);
    expect([out.shape, out.tolist()]).toEqual([[2], [1, 4]]);
    const [values, indices] = [zeros([0]), zeros([0], { dtype: 'int64' })];
    const both = ops.sort(tensor([[2, 1]]), 1, false, { values, indices });
    expect(both[0]).toBe(values);
    expect(both[1]).toBe(indices);
    expect([values.tolist(), indices.tolist()]).toEqual([[[1, 2]], [[1, 0]]]);
  });

  test('lists that an operator writes to are changed, and nothing is returned', () => {
    const list = [tensor([1]), tensor([[2]])];
    expect(list[1]!.shape).toEqual([1, 1]);
    expect(ops._foreachAdd_(list, 1)).toBeUndefined();
    expect(list.map((item) => item.tolist())).toEqual([[2], [[3]]]);
  });
});

describe('misuse', () => {
  const x = ones([2, 3]);
  const y = ones([4, 5]);

  test("libtorch's refusal has the operator, the shapes and its first line", () => {
    const error = thrown(() => x.matmul(y)) as TorchError;
    expect(error).toBeInstanceOf(TorchError);
    expect(error.message).toBe(
      'aten::matmul(float32[2,3], float32[4,5]): mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)',
    );
    expect([error.name, error.operator]).toEqual(['TorchError', 'aten::matmul']);
    expect(error.reason).not.toContain('\n');
    expect(thrown(() => ops.add(x, y, { alpha: 2 })).message).toMatch(
      /^aten::add\.Tensor\(float32\[2,3\], float32\[4,5\], \{ alpha: 2 \}\): The size of tensor a \(3\) must match/,
    );
    expect(thrown(() => ops.cat([x, y])).message).toMatch(
      /^aten::cat\(\[float32\[2,3\], float32\[4,5\]\]\): Sizes/,
    );
  });

  test.each<[string, () => unknown, RegExp]>([
    [
      'text for a tensor',
      () => ops.add('x' as never, 1),
      /^aten::add\("x", 1\): no form .*self must be Tensor, not "x"/s,
    ],
    ['a plain array', () => ops.relu([1, 2] as never), /self must be Tensor, not \[1, 2\]/],
    ['a typed array', () => ops.relu(new Float32Array(2) as never), /not Float32Array/],
    ['a fraction for a whole number', () => x.sum(0.5 as never), /dim must be .*not 0\.5/s],
    ['NaN for a whole number', () => x.select(Number.NaN, 0), /dim must be a whole number, not NaN/],
    [
      'a number beyond 2^53',
      () => x.select(0, 2 ** 53),
      /index must be a whole number, not 9007199254740992/,
    ],
    ['a bigint', () => x.select(0, 1n as never), /index must be a whole number, not 1n/],
    [
      'no such dtype',
      () => x.to('float31' as never),
      /dtype must be a dtype \(uint8, .*bfloat16\), not "float31"/s,
    ],
    [
      'no such memory format',
      () => x.contiguous({ memoryFormat: 'last' as never }),
      /one of contiguous, preserve/,
    ],
    ['a device that is none', () => ops.empty([1], { device: 'my gpu' }), /a device, as 'cpu' or 'cuda:0'/],
    ['a number for a boolean', () => x.sum([0], 1 as never), /keepdim must be a boolean, not 1/],
    ['null where a tensor must be', () => x.add(null as never), /other must be Tensor, not null/],
    ['a function', () => x.add((() => 1) as never), /not a function/],
    ['a symbol', () => x.add(Symbol('s') as never), /not Symbol\(s\)/],
    ['a date', () => x.add(new Date(0) as never), /other must be Tensor/],
    ['too few', () => (ops.add as (a: Tensor) => Tensor)(x), /other is missing/],
    ['nothing', () => (ops.add as () => Tensor)(), /self is missing/],
    ['too many', () => (ops.relu as (...a: unknown[]) => Tensor)(x, 1, 2), /takes 1 by position, not 3/],
    ['a name that is none', () => ops.add(x, x, { beta: 1 } as never), /has no argument beta/],
    ['a name given twice', () => x.sum([0], { dim: [0] } as never), /dim is given twice/],
    [
      'a list with a hole',
      () => ops.cat([x, undefined as never]),
      /tensors must be Tensor\[\], not \[float32\[2,3\], undefined\]/,
    ],
    ['a list with text', () => x.view([2, '3' as never]), /size must be .*not \[2, "3"\]/s],
  ])('%s', (_, call, message) => {
    const error = thrown(call);
    expect(error.message).toMatch(message);
    expect(error).toBeInstanceOf(TypeError);
  });

  test('a disposed tensor, wherever it is given', () => {
    const gone = ones([1]);
    gone.dispose();
    const message = /^aten::add\(.*a disposed tensor.*\): a tensor given was disposed$/;
    expect(() => ops.add(gone, 1)).toThrow(message);
    expect(() => ops.add(x, gone)).toThrow(message);
    expect(() => gone.add(1)).toThrow(message);
    expect(() => ops.cat([x, gone])).toThrow(
      /\[float32\[2,3\], a disposed tensor\]\): a tensor given was disposed/,
    );
    expect(() => ops.add(x, x, { out: gone })).toThrow(/a tensor given was disposed/);
    for (const use of [
      () => gone.shape,
      () => gone.dtype,
      () => gone.device,
      () => gone.item(),
      () => gone.toArray(),
      () => gone.toSharedArray(),
      () => gone.tolist(),
      () => gone.requiresGrad,
      () => gone.requiresGrad_(),
      () => gone.grad,
      () => gone.backward(),
    ]) {
      expect(use).toThrow(new TypeError('the tensor was disposed'));
    }
  });

  test('an operator whose types have no form in JavaScript says so', () => {
    expect(() => (ops as unknown as { qscheme(x: Tensor): unknown }).qscheme(x)).toThrow(
      /no form of the operator/,
    );
  });

  test('a failed call leaves nothing behind and the next one works', () => {
    const before = liveTensors();
    for (let i = 0; i < 100; i++) {
      expect(() => x.matmul(y)).toThrow(TorchError);
      expect(() => ops.einsum('ij,jk', ['no' as never])).toThrow(TypeError);
      expect(() => ops.einsum('!', [x])).toThrow(TorchError);
    }
    expect(liveTensors()).toBe(before);
    expect(ops.einsum('ij->', [x]).item()).toBe(6);
  });

  test('a getter that calls an operator while arguments are read is refused', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 5 }), (evil) => {
        const parts = evil.map(() => ones([1]));
        evil.forEach((on, i) => {
          const part = parts[i]!;
          const get = () => {
            ops.einsum('i,i->', [ones([30]), ones([30])]);
            return part;
          };
          if (on) Object.defineProperty(parts, i, { get });
        });
        if (evil.includes(true))
          expect(() => ops.cat(parts)).toThrow(/among the arguments called another operator/);
        else expect(ops.cat(parts).numel).toBe(evil.length);
      }),
    );
  });
});

test('memory counts each storage once', () => {
  const before = memory();
  const x = ones([1000]);
  const views = [x.view([10, 100]), x.slice(0, 0, 10)];
  const after = memory();
  expect(after.tensors - before.tensors).toBe(3);
  expect(after.bytes - before.bytes).toBe(4000);
  for (const tensor of [x, ...views]) tensor.dispose();
  expect(memory()).toEqual(before);
});
