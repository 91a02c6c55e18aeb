// Layers against PyTorch's numbers, starting values and finite differences.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  Generator,
  manualSeed,
  noGrad,
  ones,
  ops,
  rand,
  randint,
  randn,
  type Tensor,
  tensor,
  tidy,
  zeros,
} from '../../src/index.js';
import * as nn from '../../src/nn/index.js';
import { type Dumped, expectClose, gradcheck, load, loadAll, readReference } from '../support/reference.js';

interface LayerCase {
  name: string;
  state: Record<string, Dumped>;
  inputs: Dumped[];
  output: Dumped;
  gradOutput: Dumped;
  gradInput: Dumped;
  gradParameters: Record<string, Dumped>;
  buffersAfter: Record<string, Dumped>;
  evalOutput?: Dumped;
}

interface Reference {
  layers: LayerCase[];
  interpolate: {
    size: [number, number];
    alignCorners: boolean;
    input: Dumped;
    output: Dumped;
    gradOutput: Dumped;
    gradInput: Dumped;
  }[];
  crossEntropy: {
    reduction: nn.Reduction;
    weight: Dumped | null;
    logits: Dumped;
    target: Dumped;
    output: Dumped;
    gradLogits: Dumped;
  }[];
  init: Record<string, { seed: number; value: Dumped; state: Record<string, Dumped> }>;
}

const reference = readReference<Reference>('nn.json');

/** The layers of make-nn.py, by the names of its cases. */
const layers: Record<string, () => nn.Module> = {
  linear: () => new nn.Linear(5, 4),
  'linear without bias': () => new nn.Linear(5, 4, { bias: false }),
  'conv 1x1': () => new nn.Conv2d(4, 3, 1),
  'conv 7x7 stride 4': () => new nn.Conv2d(3, 4, 7, { stride: 4, padding: 3 }),
  'conv dilated': () => new nn.Conv2d(2, 3, 3, { padding: 2, dilation: 2, bias: false }),
  'conv grouped': () => new nn.Conv2d(4, 6, 3, { stride: 2, padding: 1, groups: 2 }),
  'conv depthwise': () => new nn.Conv2d(6, 6, 3, { padding: 1, groups: 6 }),
  'conv depthwise dilated': () => new nn.Conv2d(5, 5, 3, { padding: 6, dilation: 6, groups: 5, bias: false }),
  'layer norm': () => new nn.LayerNorm(8),
  'layer norm eps 1e-6': () => new nn.LayerNorm(6, { eps: 1e-6 }),
  'batch norm': () => new nn.BatchNorm2d(3),
  'batch norm eps and momentum': () => new nn.BatchNorm2d(2, { eps: 1e-3, momentum: 0.01 }),
  gelu: () => new nn.GELU(),
  relu: () => new nn.ReLU(),
  'max pool': () => new nn.MaxPool2d(3, { stride: 2, padding: 1 }),
  'max pool default stride': () => new nn.MaxPool2d(2),
  'average pool': () => new nn.AvgPool2d(2),
  'average pool padded': () => new nn.AvgPool2d(3, { stride: 1, padding: 1 }),
  'adaptive average pool 1': () => new nn.AdaptiveAvgPool2d(1),
  'adaptive average pool 3': () => new nn.AdaptiveAvgPool2d(3),
  'conv, batch norm, relu, conv': () =>
    new nn.Sequential(
      new nn.Conv2d(3, 4, 3, { padding: 1, bias: false }),
      new nn.BatchNorm2d(4),
      new nn.ReLU(),
      new nn.Conv2d(4, 2, 1),
    ),
};

describe('layers compute what PyTorch computes', () => {
  test('every layer has a reference and the other way round', () => {
    expect(reference.layers.map(({ name }) => name)).toEqual(Object.keys(layers));
  });

  test.each(reference.layers)('$name', (wanted) => {
    const layer = layers[wanted.name]!();
    layer.loadStateDict(loadAll(wanted.state));
    let x = zeros([]);
    let y = zeros([]);
    for (const input of wanted.inputs) {
      layer.zeroGrad();
      x = load(input).requiresGrad_();
      y = layer.call(x);
      y.backward(load(wanted.gradOutput));
    }
    expectClose(y, wanted.output, 'output');
    expectClose(x.grad, wanted.gradInput, 'gradient of the input');
    const parameters = layer.namedParameters();
    expect([...parameters.keys()]).toEqual(Object.keys(wanted.gradParameters));
    for (const [name, value] of parameters)
      expectClose(value.grad, wanted.gradParameters[name]!, `gradient of ${name}`);
    const buffers = layer.namedBuffers();
    expect([...buffers.keys()]).toEqual(Object.keys(wanted.buffersAfter));
    for (const [name, value] of buffers) expectClose(value, wanted.buffersAfter[name]!, name);
    if (wanted.evalOutput) expectClose(layer.eval().call(x), wanted.evalOutput, 'output in evaluation mode');
  });

  test.each(reference.interpolate)('interpolate to $size, alignCorners $alignCorners', (wanted) => {
    const x = load(wanted.input).requiresGrad_();
    const y = nn.interpolate(x, wanted.size, { alignCorners: wanted.alignCorners });
    y.backward(load(wanted.gradOutput));
    expectClose(y, wanted.output, 'output');
    expectClose(x.grad, wanted.gradInput, 'gradient');
  });

  test.each(reference.crossEntropy)('crossEntropy, reduction $reduction', (wanted) => {
    const logits = load(wanted.logits).requiresGrad_();
    const weight = wanted.weight && load(wanted.weight);
    const loss = nn.crossEntropy(logits, load(wanted.target, 'int64'), {
      reduction: wanted.reduction,
      ignoreIndex: 255,
      weight,
    });
    loss.sum().backward();
    expectClose(loss, wanted.output, 'loss');
    expectClose(logits.grad, wanted.gradLogits, 'gradient');
  });

  test('num_batches_tracked stays an integer', () => {
    const norm = new nn.BatchNorm2d(2);
    norm.call(rand([2, 2, 3, 3]));
    norm.eval().call(rand([2, 2, 3, 3]));
    expect(norm.numBatchesTracked.dtype).toBe('int64');
    expect(norm.numBatchesTracked.item()).toBe(1);
  });

  test('Conv2d refuses channels that the groups do not divide', () => {
    expect(() => new nn.Conv2d(6, 4, 3, { groups: 4 })).toThrow('multiples of groups = 4');
  });
});

describe('starting values are what PyTorch draws from the same seed', () => {
  test.each([
    ['linear', () => new nn.Linear(6, 4)],
    ['conv', () => new nn.Conv2d(4, 6, 3, { groups: 2 })],
  ] as [string, () => nn.Module][])('%s', (name, make) => {
    const wanted = reference.init[name]!;
    manualSeed(wanted.seed);
    const state = make().stateDict();
    expect([...state.keys()]).toEqual(Object.keys(wanted.state));
    for (const [key, value] of state) expectClose(value, wanted.state[key]!, key);
  });

  test.each([
    ['truncated normal', (t) => nn.truncNormal_(t, { std: 0.02 })],
    ['truncated normal, narrow', (t) => nn.truncNormal_(t, { mean: 0.1, std: 0.5, min: -0.3, max: 0.4 })],
    ['normal', (t) => nn.normal_(t, 0.5, 0.01)],
    ['kaiming normal, fan in', (t) => nn.kaimingNormal_(t)],
    ['kaiming normal, fan out', (t) => nn.kaimingNormal_(t, { mode: 'fanOut' })],
    ['kaiming uniform', (t) => nn.kaimingUniform_(t, { a: Math.sqrt(5) })],
  ] as [string, (t: Tensor) => Tensor][])('%s', (name, fill) => {
    const wanted = reference.init[name]!;
    const value = zeros(wanted.value.shape).requiresGrad_();
    manualSeed(wanted.seed);
    expect(fill(value)).toBe(value);
    expectClose(value, wanted.value, name);
  });

  test('a generator of its own gives the same values again and leaves the global one alone', () => {
    const make = (generator?: Generator) =>
      new nn.Sequential(new nn.Linear(3, 5, { generator }), new nn.Conv2d(2, 2, 3, { generator }));
    const values = (module: nn.Module) => module.parameters().map((p) => p.tolist());
    manualSeed(1);
    const fromGlobal = values(make());
    const first = values(make(new Generator(5)));
    expect(values(make(new Generator(5)))).toEqual(first);
    expect(values(make(new Generator(6)))).not.toEqual(first);
    manualSeed(1);
    make(new Generator(9));
    expect(values(make())).toEqual(fromGlobal);
  });

  test('a truncated normal stays in its bounds', () => {
    const setting = fc.record({
      mean: fc.double({ min: -0.5, max: 0.5, noNaN: true }),
      std: fc.double({ min: 0.2, max: 3, noNaN: true }),
      min: fc.double({ min: -2, max: -0.5, noNaN: true }),
      max: fc.double({ min: 0.5, max: 2, noNaN: true }),
    });
    fc.assert(
      fc.property(setting, fc.nat(1000), (options, seed) => {
        const filled = tidy(() =>
          nn.truncNormal_(zeros([200]), { ...options, generator: new Generator(seed) }).toArray(),
        );
        const values = Array.from(filled, Number);
        const [min, max] = [Math.fround(options.min), Math.fround(options.max)];
        expect(values.every((value) => value >= min && value <= max)).toBe(true);
        expect(new Set(values).size).toBeGreaterThan(50);
      }),
      { numRuns: 50 },
    );
  });

  test('constant_ fills, and a fan needs two axes', () => {
    expect(nn.constant_(zeros([2, 2]).requiresGrad_(), 3).tolist()).toEqual([
      [3, 3],
      [3, 3],
    ]);
    expect(() => nn.kaimingNormal_(zeros([4]))).toThrow('the shape is [4]');
  });
});

describe('gradients agree with finite differences in float64', () => {
  const generator = new Generator(11);
  const input = (...shape: number[]) => randn(shape, { dtype: 'float64', generator }).requiresGrad_();
  // Values a tenth apart in random order: no two are so close that a step would reorder them (max pool, ReLU).
  const distinct = (...shape: number[]) => {
    const count = shape.reduce((product, size) => product * size, 1);
    return tidy(() =>
      ops.randperm(count, { generator }).to('float64').mul(0.1).sub(1.97).view(shape),
    ).requiresGrad_();
  };
  const cases: [name: string, layer: nn.Module, x: Tensor][] = [
    ['Linear', new nn.Linear(4, 3), input(2, 4)],
    ['Conv2d', new nn.Conv2d(2, 4, 3, { stride: 2, padding: 1, groups: 2 }), input(2, 2, 4, 5)],
    ['depthwise Conv2d', new nn.Conv2d(3, 3, 3, { padding: 2, dilation: 2, groups: 3 }), input(1, 3, 4, 5)],
    ['LayerNorm', new nn.LayerNorm(5), input(3, 5)],
    ['BatchNorm2d', new nn.BatchNorm2d(2), input(2, 2, 3, 2)],
    ['BatchNorm2d in evaluation mode', new nn.BatchNorm2d(2).eval(), input(2, 2, 3, 2)],
    ['GELU', new nn.GELU(), input(3, 4)],
    ['ReLU', new nn.ReLU(), distinct(3, 4)],
    ['MaxPool2d', new nn.MaxPool2d(3, { stride: 2, padding: 1 }), distinct(1, 2, 5, 4)],
    ['AvgPool2d', new nn.AvgPool2d(2, { padding: 1 }), input(1, 2, 4, 5)],
    ['AdaptiveAvgPool2d', new nn.AdaptiveAvgPool2d(2), input(1, 2, 3, 5)],
    ['Identity', new nn.Identity(), input(2, 3)],
  ];

  test.each(cases)('%s', (_name, layer, x) => {
    layer.to({ dtype: 'float64' });
    expect(gradcheck(() => layer.call(x), [x, ...layer.parameters()])).toBeLessThan(1e-7);
  });

  test.each([
    ['Dropout', (random: nn.GeneratorOption) => new nn.Dropout(0.4, random)],
    ['Dropout2d', (random: nn.GeneratorOption) => new nn.Dropout2d(0.4, random)],
    ['DropPath', (random: nn.GeneratorOption) => new nn.DropPath(0.4, random)],
  ])('%s', (_name, make) => {
    const random = new Generator(3);
    const state = random.getState();
    const layer = make({ generator: random });
    const x = input(4, 3, 2, 2);
    const same = () => {
      random.setState(state);
      return layer.call(x);
    };
    expect(same().eq(0).any().item()).toBe(1);
    expect(gradcheck(same, [x])).toBeLessThan(1e-7);
  });

  test.each([true, false])('interpolate, alignCorners %s', (alignCorners) => {
    const x = input(1, 2, 3, 4);
    expect(gradcheck(() => nn.interpolate(x, [5, 7], { alignCorners }), [x])).toBeLessThan(1e-7);
  });

  test.each(['mean', 'sum', 'none'] as const)('crossEntropy, %s', (reduction) => {
    const logits = input(2, 4, 2, 3);
    const target = randint(0, 4, [2, 2, 3], { dtype: 'int64', generator });
    noGrad(() => target.select(2, 0).fill_(255));
    const weight = tensor([0.5, 1, 2, 3], { dtype: 'float64' });
    expect(
      gradcheck(() => nn.crossEntropy(logits, target, { ignoreIndex: 255, reduction, weight }), [logits]),
    ).toBeLessThan(1e-7);
  });

  test('a wrong gradient is found', () => {
    const x = input(3);
    expect(gradcheck(() => x.detach().mul(x), [x])).toBeGreaterThan(0.01);
  });
});

describe('random drops', () => {
  const kinds: [string, new (rate: number, random?: nn.GeneratorOption) => nn.Module, maskAxes: number][] = [
    ['Dropout', nn.Dropout, 4],
    ['Dropout2d', nn.Dropout2d, 2],
    ['DropPath', nn.DropPath, 1],
  ];

  test.each(kinds)('%s keeps the right share and scales what it keeps', (_name, Drop, maskAxes) => {
    const layer = new Drop(0.3, { generator: new Generator(1) });
    const shape = [[20_000, 3, 2, 1], [200, 100, 2, 2], [], [20, 25, 10, 8]][maskAxes - 1]!;
    const y = layer.call(ones(shape));
    const values = new Set(Array.from(y.toArray(), Number));
    expect(values).toEqual(new Set([0, Math.fround(1 / 0.7)]));
    // The draws are independent along the mask's axes and the same within it.
    const draws = shape.slice(0, maskAxes).reduce((product, size) => product * size, 1);
    const rows = y.reshape([draws, -1]);
    expect(
      rows
        .amax([1])
        .sub(rows.amin([1]))
        .abs()
        .max()
        .item(),
    ).toBe(0);
    const deviation = Math.abs(rows.select(1, 0).gt(0).to('float32').mean().item() - 0.7);
    expect(deviation).toBeLessThan(4.5 * Math.sqrt((0.3 * 0.7) / draws));
  });

  test.each(kinds)('%s passes its input through in evaluation mode and at rate 0', (_name, Drop) => {
    const x = rand([2, 3, 4, 4]);
    expect(new Drop(0.5).eval().call(x)).toBe(x);
    expect(new Drop(0).call(x)).toBe(x);
  });

  test.each(kinds)('%s repeats itself from a seed, its own or the global one', (_name, Drop) => {
    const x = ones([16, 8, 2, 2]);
    const own = (seed: number) => {
      const layer = new Drop(0.5, { generator: new Generator(seed) });
      return [layer.call(x).tolist(), layer.call(x).tolist()];
    };
    const [first, second] = own(4);
    expect(own(4)).toEqual([first, second]);
    expect(second).not.toEqual(first);
    expect(own(5)[0]).not.toEqual(first);
    const global = () => {
      manualSeed(8);
      return new Drop(0.5).call(x).tolist();
    };
    expect(global()).toEqual(global());
  });

  test.each([-0.1, 1, 1.5, Number.NaN])('a rate of %s is refused', (rate) => {
    expect(() => new nn.Dropout(rate)).toThrow(RangeError);
  });
});
