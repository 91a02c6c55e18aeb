// Optimizers, clipping and schedules against PyTorch's numbers and formulas; exact resume; training end to end.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  Generator,
  liveTensors,
  manualSeed,
  memory,
  ones,
  ops,
  randint,
  randn,
  type Tensor,
  tensor,
  tidy,
  zeros,
} from '../../src/index.js';
import * as nn from '../../src/nn/index.js';
import { AdamW, clipGradNorm_, type Optimizer, polySchedule, SGD } from '../../src/optim/index.js';
import { type Dumped, expectClose, load, readReference } from '../support/reference.js';

interface OptimizerCase {
  name: string;
  start: Dumped[];
  gradients: (Dumped | null)[][];
  after: Dumped[][];
}

interface Reference {
  optimizers: OptimizerCase[];
  clip: { maxNorm: number; before: Dumped[]; norm: Dumped; after: Dumped[] }[];
}

const reference = readReference<Reference>('optim.json');

const groups = (p: Tensor[], first: number, second: number) => [
  { params: p.slice(0, 2), lr: first, weightDecay: 0.1 },
  { params: p.slice(2), lr: second, weightDecay: 0 },
];

/** The optimizers of make-nn.py, by the names of its cases. */
const optimizers: Record<string, (params: Tensor[]) => Optimizer> = {
  sgd: (p) => new SGD(p, { lr: 0.1 }),
  'sgd, weight decay': (p) => new SGD(p, { lr: 0.1, weightDecay: 0.05 }),
  'sgd, momentum and dampening': (p) => new SGD(p, { lr: 0.1, momentum: 0.9, dampening: 0.3 }),
  'sgd, nesterov, groups': (p) => new SGD(groups(p, 0.1, 0.02), { lr: 1, momentum: 0.9, nesterov: true }),
  adamw: (p) => new AdamW(p, { lr: 0.01 }),
  'adamw, groups': (p) => new AdamW(groups(p, 6e-3, 6e-2), { betas: [0.8, 0.99], eps: 1e-6 }),
};

const leaves = (dumped: Dumped[]) => dumped.map((value) => load(value).requiresGrad_());

/** What make-nn.py does in one step, the halved rates after step 6 included. */
function step(optimizer: Optimizer, params: Tensor[], wanted: OptimizerCase, index: number): void {
  tidy(() => {
    for (const [i, gradient] of wanted.gradients[index]!.entries())
      params[i]!.grad = gradient && load(gradient);
  });
  optimizer.step();
  if (index === 6) for (const [i, { lr }] of optimizer.groups.entries()) optimizer.setLr(i, lr / 2);
}

describe('optimizers', () => {
  test.each(Object.entries(optimizers))(
    '%s learns from gradients kept elsewhere, in 16 bits, as from their float32 copies',
    (_, create) => {
      const gradients = Array.from({ length: 3 }, () => tidy(() => randn([5, 3]).to('bfloat16')));
      const trained = (widen: boolean) => {
        const params = gradients.map(() => ones([5, 3], { requiresGrad: true }));
        using optimizer = create(params);
        for (let i = 0; i < 4; i++) {
          tidy(() =>
            optimizer.step((param) => {
              const gradient = gradients[params.indexOf(param)]!;
              return widen ? gradient.to('float32') : gradient;
            }),
          );
        }
        expect(params.every(({ grad }) => grad === null)).toBe(true);
        return params.map((param) => param.detach().toArray());
      };
      expect(trained(false)).toEqual(trained(true));
    },
  );

  test('every optimizer has a reference and the other way round', () => {
    expect(reference.optimizers.map(({ name }) => name)).toEqual(Object.keys(optimizers));
  });

  test.each(reference.optimizers)('$name takes the ten steps of PyTorch', (wanted) => {
    const params = leaves(wanted.start);
    const optimizer = optimizers[wanted.name]!(params);
    for (const [index, after] of wanted.after.entries()) {
      step(optimizer, params, wanted, index);
      for (const [i, param] of params.entries())
        expectClose(param, after[i]!, `parameter ${i} after step ${index}`);
    }
  });

  test.each(reference.optimizers)('$name resumes from a saved state to the same bits', (wanted) => {
    const params = leaves(wanted.start);
    const optimizer = optimizers[wanted.name]!(params);
    for (let index = 0; index < 4; index++) step(optimizer, params, wanted, index);
    const copies = params.map((p) => tidy(() => p.detach().clone()).requiresGrad_());
    const resumed = optimizers[wanted.name]!(copies);
    for (const [i] of resumed.groups.entries()) resumed.setLr(i, 123);
    const { tensors, settings } = optimizer.stateDict();
    resumed.loadStateDict({ tensors, settings: JSON.parse(JSON.stringify(settings)) });
    for (let index = 4; index < 10; index++) {
      step(optimizer, params, wanted, index);
      step(resumed, copies, wanted, index);
    }
    expect(copies.map((p) => p.tolist())).toEqual(params.map((p) => p.tolist()));
    expect(resumed.stateDict().settings).toEqual(optimizer.stateDict().settings);
    expect(resumed.stateDict().settings.steps).toEqual([10, 8, 10]);
  });

  test('a step leaves gradients, zeroGrad drops them, and a parameter without one stays as it is', () => {
    const [a, b] = [ones([2]).requiresGrad_(), ones([2]).requiresGrad_()];
    const optimizer = new AdamW([a, b], { lr: 0.1, weightDecay: 0.5 });
    a.sum().backward();
    optimizer.step();
    expect(a.grad?.tolist()).toEqual([1, 1]);
    expect(a.tolist()).not.toEqual([1, 1]);
    expect(b.tolist()).toEqual([1, 1]);
    expect([...optimizer.stateDict().tensors.keys()]).toEqual(['0.exp_avg', '0.exp_avg_sq']);
    optimizer.zeroGrad();
    expect(a.grad).toBeNull();
  });

  test('groups fall back to the settings of the optimizer', () => {
    const params = [zeros([1]), zeros([1])];
    const optimizer = new AdamW([{ params: [params[0]!], name: 'head', lr: 2 }, { params: [params[1]!] }], {
      lr: 1,
      weightDecay: 0.3,
    });
    expect(optimizer.groups.map(({ name, lr, weightDecay }) => [name, lr, weightDecay])).toEqual([
      ['head', 2, 0.3],
      ['1', 1, 0.3],
    ]);
    optimizer.setLr(1, 0.25);
    expect(optimizer.groups[1]!.lr).toBe(0.25);
    expect(() => optimizer.setLr(2, 1)).toThrow('no group 2');
    expect(() => optimizer.setLr(0, -1)).toThrow(RangeError);
  });

  test('what cannot be right is refused', () => {
    const p = zeros([2]);
    expect(() => new SGD([], { lr: 1 })).toThrow('no parameters');
    expect(() => new SGD([p, p], { lr: 1 })).toThrow('[2] comes twice');
    expect(() => new SGD([{ params: [p] }, { params: [p] }], { lr: 1 })).toThrow('comes twice');
    expect(() => new SGD([p], { lr: Number.NaN })).toThrow('lr');
    expect(() => new SGD([p], { lr: 1, weightDecay: -1 })).toThrow('weightDecay');
    expect(() => new SGD([p], { lr: 1, nesterov: true })).toThrow('Nesterov');
    expect(() => new AdamW([p], { betas: [0.9, 1] })).toThrow('betas');
  });

  test('a state that does not fit is refused and changes nothing', () => {
    const make = (...shapes: number[][]) => {
      const params = shapes.map((shape) => ones(shape).requiresGrad_());
      const optimizer = new AdamW(params, { lr: 0.5 });
      for (const p of params) p.grad = p.detach();
      optimizer.step();
      return optimizer;
    };
    const optimizer = make([2], [3]);
    const before = optimizer.stateDict();
    expect(() => optimizer.loadStateDict(make([2]).stateDict())).toThrow(
      'groups of 2 parameters, but the state is of groups of 1',
    );
    expect(() => optimizer.loadStateDict(make([2], [4]).stateDict())).toThrow(
      "'1.exp_avg' is [4], but its parameter [3]",
    );
    const sgd = new SGD([ones([2]), ones([3])], { lr: 1 }).stateDict();
    sgd.tensors.set('0.momentum_buffer', ones([2]));
    expect(() => optimizer.loadStateDict(sgd)).toThrow("'0.momentum_buffer'");
    expect(optimizer.stateDict()).toEqual(before);
    expect([...before.tensors.values()].some((value) => value.disposed)).toBe(false);
  });

  test('dispose frees the running values', () => {
    const p = ones([2]).requiresGrad_();
    p.grad = tidy(() => ones([2]));
    const before = liveTensors();
    const optimizer = new AdamW([p]);
    optimizer.step();
    expect(liveTensors()).toBe(before + 2);
    optimizer.dispose();
    expect(liveTensors()).toBe(before);
  });
});

describe('clipGradNorm_', () => {
  test.each(reference.clip)('scales to at most $maxNorm as PyTorch does', (wanted) => {
    const params = [...leaves(wanted.before), zeros([2]).requiresGrad_()];
    for (const [i, gradient] of wanted.before.entries()) params[i]!.grad = load(gradient);
    expectClose(clipGradNorm_(params, wanted.maxNorm), wanted.norm, 'norm');
    for (const [i, after] of wanted.after.entries()) expectClose(params[i]!.grad, after, `gradient ${i}`);
    expect(params.at(-1)!.grad).toBeNull();
  });

  test('without any gradient the norm is 0', () => {
    expect(clipGradNorm_([zeros([2]).requiresGrad_()], 1).item()).toBe(0);
  });
});

describe('polySchedule', () => {
  const daformer = polySchedule({ baseLr: 6e-5, maxIters: 40_000 });

  test.each([
    [0, 6e-11],
    [750, 6e-5 * 0.98125 * 0.5000005],
    [1499, 6e-5 * 0.962525 * (1 - (1 / 1500) * 0.999999)],
    [1500, 6e-5 * 0.9625],
    [20_000, 3e-5],
    [39_999, 6e-5 / 40_000],
    [40_000, 0],
    [50_000, 0],
  ])('DAFormer: iteration %i has rate %f', (t, lr) => {
    expect(Math.abs(daformer(t) - lr)).toBeLessThanOrEqual(1e-9 * lr);
  });

  test('power, floor and no warm-up', () => {
    const rate = polySchedule({ baseLr: 1, maxIters: 100, power: 0.9, minLr: 0.1, warmupIters: 0 });
    expect(rate(0)).toBe(1);
    expect(rate(50)).toBeCloseTo(0.9 * 0.5 ** 0.9 + 0.1, 12);
    expect(rate(100)).toBe(0.1);
  });

  test('stays within its bounds, rises in a warm-up that is short and falls after it', () => {
    const settings = fc.record({
      baseLr: fc.double({ min: 1e-6, max: 1, noNaN: true }),
      maxIters: fc.integer({ min: 20, max: 100_000 }),
      power: fc.double({ min: 0.5, max: 2, noNaN: true }),
      share: fc.double({ min: 0, max: 0.25, noNaN: true }),
    });
    fc.assert(
      fc.property(
        settings,
        fc.double({ min: 0, max: 1, noNaN: true }),
        ({ baseLr, maxIters, power, share }, at) => {
          const warmupIters = Math.floor(share * maxIters);
          const rate = polySchedule({ baseLr, maxIters, power, warmupIters });
          const t = Math.floor(at * maxIters);
          expect(rate(t)).toBeGreaterThanOrEqual(0);
          expect(rate(t)).toBeLessThanOrEqual(baseLr);
          if (t >= warmupIters) expect(rate(t + 1)).toBeLessThanOrEqual(rate(t));
          else expect(rate(t + 1)).toBeGreaterThan(rate(t));
        },
      ),
    );
  });

  test('impossible settings are refused', () => {
    expect(() => polySchedule({ baseLr: 1, maxIters: 0 })).toThrow('maxIters');
    expect(() => polySchedule({ baseLr: 1, maxIters: 10, warmupIters: -1 })).toThrow('warmupIters');
  });
});

/** Convolution, batch norm and linear: classifies the pattern of 6x6 images. */
class Tiny extends nn.Module {
  readonly conv = new nn.Conv2d(1, 6, 3, { padding: 1, bias: false });
  readonly bn = new nn.BatchNorm2d(6);
  readonly drop = new nn.Dropout2d(0.1);
  readonly head = new nn.Linear(6, 3);

  forward(x: Tensor): Tensor {
    return this.head.call(this.drop.call(this.bn.call(this.conv.call(x)).relu().mean([2, 3])));
  }
}

describe('training', () => {
  const makers: [string, (params: Tensor[]) => Optimizer][] = [
    ['AdamW', (params) => new AdamW(params, { lr: 0.02 })],
    ['SGD', (params) => new SGD(params, { lr: 0.2, momentum: 0.9, weightDecay: 1e-4, nesterov: true })],
  ];

  /** Stripes along x, stripes along y, or a checkerboard, with noise. */
  function batch(generator: Generator): { x: Tensor; y: Tensor } {
    return tidy(() => {
      const along = tensor([1, -1, 1, -1, 1, -1]).view([1, 6]).expand([6, 6]);
      const across = along.t();
      const patterns = ops.stack([along, across, along.mul(across)]).view([3, 1, 6, 6]);
      const y = randint(0, 3, [16], { dtype: 'int64', generator });
      return { x: patterns.indexSelect(0, y).add(randn([16, 1, 6, 6], { generator }).mul(0.5)), y };
    });
  }

  function trainStep(net: nn.Module, optimizer: Optimizer, { x, y }: { x: Tensor; y: Tensor }): number {
    return tidy(() => {
      const loss = nn.crossEntropy(net.call(x), y);
      optimizer.zeroGrad();
      loss.backward();
      optimizer.step();
      return loss.item();
    });
  }

  test.each(makers)('100 steps of %s teach a tiny network its task', (_name, make) => {
    manualSeed(0);
    const generator = new Generator(1);
    const net = new Tiny();
    const optimizer = make(net.parameters());
    const losses = Array.from({ length: 100 }, () => trainStep(net, optimizer, batch(generator)));
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(mean(losses.slice(0, 3))).toBeGreaterThan(0.7);
    expect(mean(losses.slice(-10))).toBeLessThan(0.2);
  });

  test('the number of live tensors and their bytes stay the same over 1,000 steps', {
    timeout: 20_000,
  }, () => {
    const generator = new Generator(2);
    const net = new Tiny();
    const optimizer = makers[0]![1](net.parameters());
    const data = batch(generator);
    for (let i = 0; i < 3; i++) trainStep(net, optimizer, data);
    const before = memory();
    const start = performance.now();
    for (let i = 0; i < 1000; i++) trainStep(net, optimizer, data);
    expect(memory()).toEqual(before);
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});
