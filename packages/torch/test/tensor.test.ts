// Tensors: made from values and typed arrays, read back, shared without copies, printed.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  arange,
  type DType,
  fromTypedArray,
  full,
  Generator,
  globalRngState,
  manualSeed,
  ones,
  ops,
  rand,
  randint,
  randn,
  setGlobalRngState,
  setNumThreads,
  Tensor,
  TorchError,
  type TypedArray,
  tensor,
  zeros,
} from '../src/index.js';

describe('from nested arrays', () => {
  test.each([
    [7, [], 'float32', 7],
    [[], [0], 'float32', []],
    [[1, 2, 3], [3], 'float32', [1, 2, 3]],
    [[[1, 2, 3]], [1, 3], 'float32', [[1, 2, 3]]],
    [[[], []], [2, 0], 'float32', [[], []]],
    [[true, false], [2], 'bool', [true, false]],
    [[true, 2], [2], 'float32', [1, 2]],
    [true, [], 'bool', true],
  ])('%j has shape %j and dtype %s', (values, shape, dtype, list) => {
    const made = tensor(values as number[]);
    expect(made.shape).toEqual(shape);
    expect(made.dtype).toBe(dtype);
    expect(made.tolist()).toEqual(list);
    expect(made.ndim).toBe(shape.length);
    expect(made.numel).toBe(shape.reduce((a, b) => a * b, 1));
    expect(made.device).toBe('cpu');
  });

  test.each([[[[1, 2], [3]]], [[1, [2]]], [[[1], 2]], [[[[1]], [2]]]])('ragged %j is refused', (values) => {
    expect(() => tensor(values as number[])).toThrow(
      new RangeError('the nested arrays are not of one shape'),
    );
  });

  const limits: Record<DType, { values: number[]; array: unknown }> = {
    uint8: { values: [0, 255], array: Uint8Array },
    int8: { values: [-128, 127], array: Int8Array },
    int16: { values: [-32768, 32767], array: Int16Array },
    int32: { values: [-(2 ** 31), 2 ** 31 - 1], array: Int32Array },
    int64: { values: [-(2 ** 53) + 1, 2 ** 53 - 1], array: BigInt64Array },
    float16: { values: [-65504, 2 ** -24], array: Float32Array },
    float32: { values: [-(2 ** 127), 2 ** -149], array: Float32Array },
    float64: { values: [-Number.MAX_VALUE, Number.MIN_VALUE], array: Float64Array },
    bool: { values: [0, 1], array: Uint8Array },
    bfloat16: { values: [-(2 ** 127), 2 ** -126], array: Float32Array },
  };

  test.each(Object.entries(limits))('%s holds its extreme values', (dtype, { values, array }) => {
    const made = tensor(values, { dtype: dtype as DType });
    expect(made.dtype).toBe(dtype);
    expect(made.toArray()).toBeInstanceOf(array);
    expect(Array.from(made.toArray() as Float64Array, Number)).toEqual(values);
  });

  test('int64 is exact beyond 2^53 through its typed array', () => {
    const big = 2n ** 63n - 1n;
    const made = fromTypedArray(new BigInt64Array([big, -big]), [2]);
    expect(made.add(0).toArray()).toEqual(new BigInt64Array([big, -big]));
  });

  test('a typed array is copied, and may be converted', () => {
    const array = new Int16Array([1, 2]);
    const [copy, floats] = [tensor(array), tensor(array, { dtype: 'float64' })];
    array[0] = 9;
    expect([copy.dtype, copy.tolist(), floats.dtype, floats.tolist()]).toEqual([
      'int16',
      [1, 2],
      'float64',
      [1, 2],
    ]);
    expect(tensor(new Float32Array([1]), { requiresGrad: true }).requiresGrad).toBe(true);
  });

  test('what goes in comes out, for every shape', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }), fc.nat(), (shape, seed) => {
        let n = seed;
        const build = (depth: number): number | unknown[] =>
          depth === shape.length ? n++ % 1000 : Array.from({ length: shape[depth]! }, () => build(depth + 1));
        const values = build(0);
        expect(tensor(values as number[]).tolist()).toEqual(values);
      }),
    );
  });
});

describe('factories', () => {
  test('have the shape, value and dtype asked for', () => {
    expect(zeros([2, 1]).tolist()).toEqual([[0], [0]]);
    expect(ones([2], { dtype: 'int32' }).toArray()).toEqual(new Int32Array([1, 1]));
    expect(full([2], 2.5, { dtype: 'float64' }).toArray()).toEqual(new Float64Array([2.5, 2.5]));
    expect(full([1], true, { dtype: 'bool' }).tolist()).toEqual([true]);
    expect(arange(3).toArray()).toEqual(new BigInt64Array([0n, 1n, 2n]));
    expect(arange(3, { dtype: 'float32' }).dtype).toBe('float32');
    expect(zeros([1], { requiresGrad: true }).requiresGrad).toBe(true);
    expect(zeros([0, 3]).shape).toEqual([0, 3]);
  });

  test('random ones stay in their range', () => {
    const generator = new Generator(5);
    const uniform = rand([4000], { generator }).toArray() as Float32Array;
    expect(uniform.every((x) => x >= 0 && x < 1)).toBe(true);
    const normal = randn([4000], { generator, dtype: 'float64' });
    // Four standard errors of a mean of 4,000.
    expect(Math.abs(normal.mean().item())).toBeLessThan(4 / Math.sqrt(4000));
    const whole = randint(-2, 3, [4000], { generator });
    expect([...new Set(whole.tolist() as number[])].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2]);
  });

  test('wrong shapes are refused before libtorch is called', () => {
    for (const shape of [[-1], [1.5], [Number.NaN], 'abc', null, 5]) {
      expect(() => fromTypedArray(new Float32Array(1), shape as number[])).toThrow(
        /a shape is a list of whole/,
      );
    }
    expect(() => zeros(['2'] as unknown as number[])).toThrow(TypeError);
    expect(() => zeros([-1])).toThrow(TorchError);
  });

  test('a tensor larger than the memory is an error', () => {
    expect(() => zeros([2 ** 50])).toThrow(/zeros.*(allocate|memory)/s);
    expect(() => zeros([2 ** 40, 2 ** 40])).toThrow(TorchError);
  });
});

describe('shared memory', () => {
  const arrays: [TypedArray, DType][] = [
    [new Uint8Array([1, 2]), 'uint8'],
    [new Uint8ClampedArray([1, 2]), 'uint8'],
    [new Int8Array([-1, 2]), 'int8'],
    [new Int16Array([-1, 2]), 'int16'],
    [new Int32Array([-1, 2]), 'int32'],
    [new BigInt64Array([-1n, 2n]), 'int64'],
    [new Float32Array([-1, 2]), 'float32'],
    [new Float64Array([-1, 2]), 'float64'],
  ];

  test.each(arrays)('fromTypedArray shares %o as %s, both ways', (array, dtype) => {
    const shared = fromTypedArray(array, [2, 1]);
    expect(shared.dtype).toBe(dtype);
    expect(shared.shape).toEqual([2, 1]);
    array[1] = array[0]! as never;
    expect(shared.eq(shared.select(0, 0)).tolist()).toEqual([[true], [true]]);
    shared.fill_(7);
    expect(Array.from(array as Float32Array, Number)).toEqual([7, 7]);
  });

  test('an array that starts inside its buffer is read from there', () => {
    const buffer = new Float32Array([0, 1, 2, 3]).buffer;
    const shared = fromTypedArray(new Float32Array(buffer, 4, 2), [2]);
    expect(shared.tolist()).toEqual([1, 2]);
  });

  test('memory shared between threads is taken too', () => {
    const array = new Float32Array(new SharedArrayBuffer(8));
    fromTypedArray(array, [2]).fill_(3);
    expect([...array]).toEqual([3, 3]);
  });

  test('bytes may be read as another dtype', () => {
    expect(fromTypedArray(new Uint8Array([0, 1]), [2], { dtype: 'bool' }).tolist()).toEqual([false, true]);
    expect(fromTypedArray(new Uint8Array([0, 0x3c]), [1], { dtype: 'float16' }).item()).toBe(1);
  });

  test('what does not fit is refused with the numbers', () => {
    const array = new Float32Array(4);
    expect(() => fromTypedArray(array, [3])).toThrow(
      new RangeError('shape [3] of float32 needs 12 bytes; the array has 16'),
    );
    expect(() => fromTypedArray(array, [2 ** 40, 2 ** 40])).toThrow(RangeError);
    expect(() => fromTypedArray(new Uint16Array(2) as never, [2])).toThrow(/fromTypedArray needs a Float32/);
    expect(() => fromTypedArray([1, 2] as never, [2])).toThrow(/fromTypedArray needs a Float32/);
    expect(() => fromTypedArray(array, [4], { dtype: 'float8' as DType })).toThrow(
      /there is no dtype "float8"; allowed: uint8,/,
    );
    const odd = new Uint8Array(new ArrayBuffer(9), 1, 8);
    expect(() => fromTypedArray(odd, [2], { dtype: 'float32' })).toThrow(/starts at byte 1/);
    const resizable = Reflect.construct(ArrayBuffer, [8, { maxByteLength: 16 }]) as ArrayBuffer;
    expect(() => fromTypedArray(new Float32Array(resizable), [2])).toThrow(
      /resizable ArrayBuffer can shrink/,
    );
  });

  test('the memory of a tensor cannot be transferred away under it', () => {
    const array = new Float32Array([1, 2]);
    const shared = fromTypedArray(array, [2]);
    try {
      structuredClone(array.buffer, { transfer: [array.buffer] });
    } catch {
      // Node 20 copies what must not be transferred, later versions throw.
    }
    array[0] = 7;
    expect(shared.tolist()).toEqual([7, 2]);
  });

  test('toSharedArray gives the memory itself, and outlives the tensor', () => {
    const made = tensor([[1, 2]]);
    const [first, second] = [made.toSharedArray(), made.toSharedArray()];
    first[0] = 5;
    expect([second[0], made.tolist()]).toEqual([5, [[5, 2]]]);
    made.dispose();
    expect([...(first as Float32Array)]).toEqual([5, 2]);
    expect(zeros([0]).toSharedArray()).toHaveLength(0);
    expect(arange(4).slice(0, 1, 3).toSharedArray()).toEqual(new BigInt64Array([1n, 2n]));
  });

  test('toSharedArray refuses what has no such memory', () => {
    const message = /toSharedArray\(.*only a contiguous tensor on the CPU/;
    expect(() => ones([2, 3]).t().toSharedArray()).toThrow(message);
    expect(() => ones([2]).toSparse().toSharedArray()).toThrow(message);
    expect(() => ones([2])._negView().toSharedArray()).toThrow(message);
    expect(() => ops.empty([2], { device: 'meta' }).toSharedArray()).toThrow(message);
    expect(() => ops._efficientzerotensor([2], {}).toSharedArray()).toThrow(message);
    expect(() => ones([2], { dtype: 'float16' }).toSharedArray()).toThrow(/no typed array of float16/);
  });
});

describe('views', () => {
  test('share their base, in C order when read', () => {
    const base = arange(6, { dtype: 'float32' }).view([2, 3]);
    expect(base.t().tolist()).toEqual([
      [0, 3],
      [1, 4],
      [2, 5],
    ]);
    expect(base.t().toArray()).toEqual(new Float32Array([0, 3, 1, 4, 2, 5]));
    base.select(1, 2).fill_(9);
    expect(base.tolist()).toEqual([
      [0, 1, 9],
      [3, 4, 9],
    ]);
    expect(base.slice(1, 0, null, 2).tolist()).toEqual([
      [0, 9],
      [3, 9],
    ]);
    expect(base.flip([0]).select(0, 0).tolist()).toEqual([3, 4, 9]);
  });

  test('lazily negated and zero tensors are read as what they stand for', () => {
    expect(ones([2])._negView().toArray()).toEqual(new Float32Array([-1, -1]));
    expect(ops._efficientzerotensor([2], {}).toArray()).toEqual(new Float32Array([0, 0]));
    const imaginary = ops.imag(ops.complex(ones([1]), full([1], 3)).conj());
    expect(imaginary.tolist()).toEqual([-3]);
  });

  test('the shape follows operators that change it in place', () => {
    const made = zeros([2, 3]);
    expect(made.shape).toEqual([2, 3]);
    expect(made.t_().shape).toEqual([3, 2]);
    expect(made.unsqueeze_(0).shape).toEqual([1, 3, 2]);
    made.setData(zeros([5], { dtype: 'float64' }));
    expect([made.shape, made.dtype, made.toArray()]).toEqual([[5], 'float64', new Float64Array(5)]);
  });

  test('a shape cannot be written to', () => {
    const made = zeros([2]);
    expect(() => (made.shape as number[]).push(1)).toThrow(TypeError);
    expect(made.shape).toEqual([2]);
  });
});

describe('reading', () => {
  test('item needs one element', () => {
    expect(tensor([[4]]).item()).toBe(4);
    expect(tensor(true).item()).toBe(1);
    expect(tensor(3, { dtype: 'int64' }).item()).toBe(3);
    expect(() => zeros([2, 1]).item()).toThrow(
      new RangeError('item() needs one element; the shape is [2,1]'),
    );
    expect(() => zeros([0]).item()).toThrow(RangeError);
  });

  test('elements without a form in JavaScript are refused by name', () => {
    const complex = ops.complex(ones([2]), ones([2]));
    expect(complex.dtype).toBe('complex64');
    expect(() => complex.toArray()).toThrow(new TypeError('JavaScript has no typed array of complex64'));
    expect(() => ones([2]).toSparse().toArray()).toThrow(/toArray\(float32\[2\]\): .*call toDense\(\) first/);
    expect(() => ops.empty([2], { device: 'meta' }).toArray()).toThrow(TorchError);
  });

  test('printing shows small tensors whole, and never throws', () => {
    expect(String(tensor([[1, 2.5]]))).toBe('Tensor([1,2] float32 [[1,2.5]])');
    expect(String(zeros([100]))).toBe('Tensor([100] float32)');
    expect(String(ops.complex(ones([2]), ones([2])))).toBe('Tensor([2] complex64)');
    expect(String(ones([2]).toSparse())).toBe('Tensor([2] float32)');
    const gone = zeros([1]);
    gone.dispose();
    expect(String(gone)).toBe('Tensor(disposed)');
  });
});

describe('generators', () => {
  const draw = (generator?: Generator) => rand([3], generator ? { generator } : {}).tolist();

  test('one seed gives one sequence, whatever others draw', () => {
    const [a, b] = [new Generator(3), new Generator(3)];
    const first = draw(a);
    draw();
    expect(draw(b)).toEqual(first);
    expect(draw(new Generator(4))).not.toEqual(first);
    expect(draw(new Generator(2 ** 53 - 1))).not.toEqual(first);
  });

  test('a saved state resumes where it was', () => {
    const generator = new Generator(8);
    fc.assert(
      fc.property(fc.nat(700), (skip) => {
        ops.empty([skip], {}).uniform_(0, 1, { generator });
        const state = generator.getState();
        const next = draw(generator);
        expect(draw(generator)).not.toEqual(next);
        const other = new Generator(1);
        other.setState(state);
        expect(draw(other)).toEqual(next);
        other.dispose();
      }),
      { numRuns: 50 },
    );
  });

  test("so does the process's own", () => {
    manualSeed(11);
    const first = draw();
    manualSeed(11);
    const state = globalRngState();
    expect(draw()).toEqual(first);
    setGlobalRngState(state);
    expect(draw()).toEqual(first);
  });

  test('bytes that are no state are refused, and the generator stays as it was', () => {
    const generator = new Generator(8);
    const state = generator.getState();
    expect(() => generator.setState(state.subarray(1))).toThrow();
    expect(() => generator.setState(new Uint8Array(state.length))).toThrow();
    expect(() => generator.setState([1, 2] as never)).toThrow(/Uint8Array that getState gave/);
    // The position within the numbers drawn: the last one, with all of them said to be left.
    const beyond = state.slice();
    new DataView(beyond.buffer).setInt32(8, 624, true);
    new DataView(beyond.buffer).setBigUint64(16, 624n, true);
    expect(() => generator.setState(beyond)).toThrow(/not the state of a generator/);
    expect(generator.getState()).toEqual(state);
  });

  test('seeds and disposed generators are checked', () => {
    for (const seed of [-1, 1.5, Number.NaN, 2 ** 53]) {
      expect(() => new Generator(seed)).toThrow(/a seed is a whole number from 0 to 2\^53 - 1/);
      expect(() => manualSeed(seed)).toThrow(RangeError);
    }
    const generator = new Generator(1);
    generator.dispose();
    generator.dispose();
    // The next one takes its place in the native table.
    const other = new Generator(2);
    const before = other.getState();
    expect(() => generator.getState()).toThrow(new TypeError('the generator was disposed'));
    expect(() => generator.setState(before)).toThrow(/the generator was disposed/);
    expect(() => draw(generator)).toThrow(/generator must be/);
    expect(other.getState()).toEqual(before);
  });
});

test('the number of threads is a whole number that a machine can have', () => {
  for (const threads of [0, -1, 1.5, 2 ** 32, 1e9, Number.NaN]) {
    expect(() => setNumThreads(threads)).toThrow(/whole number from 1 to 1024/);
  }
});

test('a Tensor is told from its look-alikes', () => {
  const fake = { handle: 1, shape: [1] };
  expect(() => ops.add(fake as never, 1)).toThrow(TypeError);
  expect(ones([1])).toBeInstanceOf(Tensor);
});
