// Arguments at the edges of what the package takes beside operators: all are refused, or work, and the process lives.

import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import {
  autocast,
  autocastDtype,
  fromTypedArray,
  Generator,
  grad,
  inferenceMode,
  liveTensors,
  type NestedNumbers,
  nn,
  noGrad,
  ones,
  ops,
  rand,
  randn,
  Tensor,
  TorchError,
  tensor,
  tidy,
  zeros,
} from '../src/index.js';

const nested = (value: unknown) => value as NestedNumbers;

test('an array that contains itself, or nests deep, is no tensor', () => {
  const cyclic: unknown[] = [];
  cyclic.push(cyclic);
  expect(() => tensor(nested(cyclic))).toThrow('nested more than 64 deep');
  let deep: NestedNumbers = 1;
  for (let i = 0; i < 64; i++) deep = [deep];
  expect(tensor(deep).ndim).toBe(64);
  expect(() => tensor([deep])).toThrow(RangeError);
});

test('more numbers than an array of JavaScript holds are refused before it is filled', () => {
  const row = new Array(2 ** 20).fill(0);
  expect(() => tensor(new Array(65).fill(row))).toThrow('too large');
  expect(() => ops.permute(ones([2]), new Array(2 ** 32 - 1))).toThrow(TypeError);
});

test.each([{}, 'a', () => 1, null, undefined, Symbol('s'), new Date(0)])('%s is no number', (value) => {
  expect(() => tensor(nested(value))).toThrow(TypeError);
  expect(() => tensor(nested([value]))).toThrow(TypeError);
});

test.each(['float8', '', 'toString', '__proto__', 'constructor', 5])('%s is no dtype', (dtype) => {
  const options = { dtype: dtype as 'float32' };
  expect(() => tensor([1], options)).toThrow('there is no dtype');
  expect(() => fromTypedArray(new Float32Array(1), [1], options)).toThrow('there is no dtype');
  expect(() => zeros([1], options)).toThrow(TypeError);
});

test.each([
  [[-1]],
  [[2 ** 31, 2 ** 31]],
  [[2 ** 53 - 1, 2 ** 53 - 1]],
  [[2 ** 53]],
  [[1e15]],
  [[1.5]],
  [[Number.NaN]],
  ['3' as unknown as number[]],
])('shape %j is refused', (shape) => {
  for (const make of [zeros, ones, rand, randn]) {
    expect(() => make(shape)).toThrow(/^aten::\w+/);
  }
  expect(() => fromTypedArray(new Float32Array(4), shape)).toThrow(/shape/);
});

test.each([
  '',
  'gpu',
  'CPU',
  'cuda:-1',
  'cuda:99999999999999999999',
  'cuda:4096',
  'mps',
  'xla:1',
  'lazy',
  '\0',
])('device %j is refused by name', (device) => {
  expect(() => zeros([1], { device })).toThrow(/device|argument/i);
  expect(() => ones([1]).to({ device })).toThrow(/device|argument/i);
  expect(() => tensor([1], { device })).toThrow(/device|argument/i);
});

test('a tensor without elements may have many rows', () => {
  const rows = zeros([2 ** 31 - 1, 0]);
  expect(String(rows)).toBe('Tensor([2147483647,0] float32)');
  expect(rows.toArray()).toHaveLength(0);
  expect(() => rows.tolist()).toThrow('would not fit');
  expect(zeros([3, 0]).tolist()).toEqual([[], [], []]);
});

test('a view of more elements than fit is not copied', () => {
  const wide = ones([1]).expand([2 ** 40]);
  expect(() => wide.toArray()).toThrow(RangeError);
  expect(() => wide.tolist()).toThrow(RangeError);
  expect(() => wide.toSharedArray()).toThrow(TorchError);
});

test('what was disposed says so', () => {
  const x = ones([2]).requiresGrad_();
  const y = x.mul(2).sum();
  x.dispose();
  x.dispose();
  y.backward();
  for (const use of [
    () => x.shape,
    () => x.grad,
    () => x.item(),
    () => x.toArray(),
    () => x.backward(),
    () => x.add(1),
    () => grad(y, [x]),
  ]) {
    expect(use).toThrow(/was disposed/);
  }
  const generator = new Generator(1);
  generator.dispose();
  expect(() => randn([1], { generator })).toThrow(TypeError);
  expect(() => generator.getState()).toThrow('disposed');
  expect(() => new Tensor(0)).toThrow(TypeError);
  expect(() => new Tensor('x' as unknown as number)).toThrow(TypeError);
});

test('what a callback throws comes through, and leaves every mode as it was', () => {
  class Failing extends nn.Module {
    layer = new nn.Linear(2, 2);
    constructor(private passes: number) {
      super();
    }
    forward(x: Tensor): Tensor {
      if (this.passes-- === 0) throw new Error('mine');
      return this.layer.call(x);
    }
  }
  const fail = () => {
    throw new Error('mine');
  };
  // In the pass, and when it is computed again in the middle of the backward pass.
  const modules = [0, 1].map((passes) => new Failing(passes));
  const before = liveTensors();
  for (const run of [noGrad, inferenceMode, tidy]) expect(() => run(fail)).toThrow('mine');
  expect(() => autocast('bfloat16', fail)).toThrow('mine');
  for (const failing of modules) {
    tidy(() => {
      const checkpoints = new nn.ActivationCheckpoints([failing]);
      const step = () => checkpoints.backward(failing.call(ones([1, 2])).sum());
      expect(() => checkpoints.record(step)).toThrow('mine');
    });
  }
  expect(autocastDtype()).toBeUndefined();
  tidy(() => expect(ones([1]).requiresGrad_().mul(2).requiresGrad).toBe(true));
  expect(liveTensors()).toBe(before);
});

test('autocast of another dtype is refused, and stays off', () => {
  for (const dtype of ['int8', 'float32', '', null]) {
    expect(() => autocast(dtype as 'float16', () => 1)).toThrow("in 'bfloat16' or 'float16'");
  }
  expect(autocastDtype()).toBeUndefined();
});

test('a gradient is not computed where there is no graph', () => {
  const x = ones([2]).requiresGrad_();
  expect(() => grad([], [])).toThrow(TorchError);
  expect(() => grad(ones([1]), [ones([1])])).toThrow(TorchError);
  expect(() => grad(x.mul(2), [x], { gradOutputs: [ones([3])] })).toThrow(TorchError);
  expect(() => grad(x.mul(2), [x], { gradOutputs: [ones([2], { device: 'meta' })] })).toThrow(TorchError);
});

test('a graph of thirty thousand operators is walked and freed without recursion', () => {
  const w = ones([1]).requiresGrad_();
  let x = w.add(0);
  for (let i = 0; i < 30_000; i++) {
    const next = x.add(1);
    x.dispose();
    x = next;
  }
  x.sum().backward();
  x.dispose();
  expect(w.grad!.item()).toBe(1);
});

test('threads load the bridge, and are ended in the middle of their work', async () => {
  const module = new URL('../dist/index.js', import.meta.url).href;
  const program = `
    const { parentPort } = require('node:worker_threads');
    Promise.all([import('${module}'), import('${module}?again')]).then(async ([torch, again]) => {
      const w = torch.randn([64, 64], { generator: new torch.Generator(1) }).requiresGrad_();
      parentPort.postMessage(again.ones([3]).sum().item());
      for (;;) {
        torch.tidy(() => w.matmul(w).sum().backward());
        torch.fromTypedArray(new Float32Array(10), [10]);
        await new Promise((resolve) => setImmediate(resolve));
      }
    });`;
  const workers = [0, 1].map(() => new Worker(program, { eval: true }));
  const sums = workers.map(
    (worker) =>
      new Promise((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
      }),
  );
  expect(await Promise.all(sums)).toEqual([3, 3]);
  await Promise.all(workers.map((worker) => worker.terminate()));
  expect(ones([2]).sum().item()).toBe(2);
});
