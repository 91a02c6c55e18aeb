// The optimizers and schedules of make-library.py, step by step against PyTorch's; states in PyTorch's form.

import { describe, expect, test } from 'vitest';
import { ones, Tensor, tidy, zeros } from '../../src/index.js';
import * as optim from '../../src/optim/index.js';
import { type Dumped, expectClose, load, readReference } from '../support/reference.js';

type Params = Tensor[] | optim.ParameterGroup[];

interface Reference {
  optimizers: {
    start: Dumped[];
    gradients: (Dumped | null)[][];
    cases: {
      name: string;
      after: Dumped[][];
      state: Record<string, Record<string, Dumped>>;
      groups: Record<string, unknown>[];
    }[];
  };
  schedules: { losses: number[]; cases: { name: string; rates: number[][]; momenta: number[] }[] };
}

const { optimizers, schedules } = readReference<Reference>('library.json');

/** The optimizers of make-library.py, by the names of its cases. */
const makers: Record<string, (params: Params) => optim.Optimizer> = {
  Adam: (p) => new optim.Adam(p),
  'Adam decayed': (p) => new optim.Adam(p, { lr: 0.01, betas: [0.8, 0.99], eps: 1e-6, weightDecay: 0.1 }),
  'Adam amsgrad': (p) => new optim.Adam(p, { lr: 0.1, amsgrad: true }),
  AdamW: (p) => new optim.AdamW(p, { lr: 0.1 }),
  SGD: (p) => new optim.SGD(p, { lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.01 }),
  RMSprop: (p) => new optim.RMSprop(p),
  'RMSprop centered': (p) =>
    new optim.RMSprop(p, { lr: 0.02, alpha: 0.9, momentum: 0.5, centered: true, weightDecay: 0.1 }),
  Adagrad: (p) => new optim.Adagrad(p),
  'Adagrad decayed': (p) =>
    new optim.Adagrad(p, { lr: 0.1, lrDecay: 0.1, weightDecay: 0.1, initialAccumulatorValue: 0.2 }),
  Adadelta: (p) => new optim.Adadelta(p, { lr: 0.7, rho: 0.8, weightDecay: 0.05 }),
  Adamax: (p) => new optim.Adamax(p, { lr: 0.05, weightDecay: 0.1 }),
  NAdam: (p) => new optim.NAdam(p, { lr: 0.05, weightDecay: 0.1 }),
  RAdam: (p) => new optim.RAdam(p, { lr: 0.05, weightDecay: 0.1 }),
};

const starts = () => optimizers.start.map((value) => load(value).requiresGrad_());

/** One step of make-library.py, the halved rates after step 4 included. */
function step(optimizer: optim.Optimizer, params: Tensor[], index: number): void {
  tidy(() => {
    for (const [i, gradient] of optimizers.gradients[index]!.entries())
      params[i]!.grad = gradient && load(gradient);
  });
  optimizer.step();
  if (index === 4) for (const [i, { lr }] of optimizer.groups.entries()) optimizer.setLr(i, lr / 2);
}

/** A recorded state as `loadPth` would give it. */
function pytorchState({ state, groups }: Reference['optimizers']['cases'][number]): Map<string, unknown> {
  const entries = Object.entries(state).map(
    ([index, values]) =>
      [
        Number(index),
        new Map(Object.entries(values).map(([name, value]) => [name, tidy(() => load(value))])),
      ] as const,
  );
  const written = groups.map((group) => new Map(Object.entries(group)));
  return new Map<string, unknown>([
    ['state', new Map(entries)],
    ['param_groups', written],
  ]);
}

describe('optimizers', () => {
  test('each has a reference and the other way round', () => {
    expect(optimizers.cases.map(({ name }) => name)).toEqual(Object.keys(makers));
  });

  test.each(optimizers.cases)('$name takes the steps of PyTorch and ends in its state', (wanted) => {
    const params = starts();
    using optimizer = makers[wanted.name]!(params);
    for (const [index, after] of wanted.after.entries()) {
      step(optimizer, params, index);
      for (const [i, param] of params.entries())
        expectClose(param, after[i]!, `parameter ${i} after step ${index}`);
    }
    const own = optimizer.pytorchStateDict();
    const state = own.get('state') as Map<number, Map<string, Tensor | number>>;
    for (const [index, values] of Object.entries(wanted.state)) {
      for (const [name, value] of Object.entries(values)) {
        const kept = state.get(Number(index))!.get(name);
        if (kept instanceof Tensor) expectClose(kept, value, name);
        else if (name === 'mu_product') expect(kept).toBeCloseTo(value.data[0]!, 6);
        else expect(kept, name).toBe(value.data[0]);
      }
    }
    const [group] = own.get('param_groups') as Map<string, unknown>[];
    for (const name of Object.keys(wanted.groups[0]!)) {
      if (group!.has(name)) expect(group!.get(name), name).toEqual(wanted.groups[0]![name]);
      else expect(wanted.groups[0]![name], name).toBeFalsy();
    }
  });

  test.each(optimizers.cases)('$name continues from the state that PyTorch saved', (wanted) => {
    const params = starts();
    using through = makers[wanted.name]!(params);
    for (const [index] of wanted.after.entries()) step(through, params, index);
    const copies = params.map((param) => tidy(() => param.detach().clone()).requiresGrad_());
    using resumed = makers[wanted.name]!(copies);
    resumed.loadPytorchStateDict(pytorchState(wanted));
    expect(resumed.groups[0]!.lr).toBeCloseTo(through.groups[0]!.lr, 12);
    step(through, params, 0);
    step(resumed, copies, 0);
    for (const [i, param] of params.entries()) {
      const data = Array.from(param.detach().toArray(), Number);
      expectClose(copies[i]!, { shape: [...param.shape], data }, `parameter ${i}`);
    }
  });

  test('a state of other settings, or of no optimizer, is refused and changes nothing', () => {
    const params = [ones([2]).requiresGrad_()];
    using optimizer = new optim.Adam(params, { lr: 0.5 });
    const fits = optimizer.pytorchStateDict();
    const withGroup = (name: string, value: unknown) => {
      const [group] = fits.get('param_groups') as Map<string, unknown>[];
      return new Map(fits).set('param_groups', [new Map(group).set(name, value)]);
    };
    expect(() => optimizer.loadPytorchStateDict(withGroup('betas', [0.5, 0.9]))).toThrow(
      'group 0 has betas = [0.5,0.9], but here it is [0.9,0.999]',
    );
    expect(() => optimizer.loadPytorchStateDict(withGroup('maximize', true))).toThrow('no such setting');
    expect(() => optimizer.loadPytorchStateDict(withGroup('params', [0, 1]))).toThrow('groups of 2');
    expect(() => optimizer.loadPytorchStateDict(new Map([['model', 1]]))).toThrow("no optimizer's state");
    expect(optimizer.groups[0]!.lr).toBe(0.5);
    optimizer.loadPytorchStateDict(withGroup('foreach', true));
  });

  test('impossible settings are refused', () => {
    const p = [ones([1])];
    expect(() => new optim.Adam(p, { betas: [1, 0.9] })).toThrow("Adam's betas");
    expect(() => new optim.RMSprop(p, { alpha: -1 })).toThrow("RMSprop's alpha");
    expect(() => new optim.Adadelta(p, { rho: 2 })).toThrow("Adadelta's rho");
    expect(() => new optim.Adagrad(p, { lrDecay: -1 })).toThrow('lrDecay');
    expect(() => new optim.Adagrad(p).setMomentum(0.9)).toThrow('Adagrad has no momentum');
    expect(() => new optim.SGD(p, { lr: 1 }).setMomentum(1)).toThrow(RangeError);
  });
});

type Scheduler = optim.LRScheduler | optim.ReduceLROnPlateau;

/** The schedules of make-library.py, by the names of its cases. */
const schedulers: Record<string, (optimizer: optim.Optimizer) => Scheduler> = {
  StepLR: (o) => new optim.StepLR(o, 5),
  MultiStepLR: (o) => new optim.MultiStepLR(o, [3, 8, 8, 15], { gamma: 0.5 }),
  ExponentialLR: (o) => new optim.ExponentialLR(o, 0.9),
  ConstantLR: (o) => new optim.ConstantLR(o),
  LinearLR: (o) => new optim.LinearLR(o),
  'LinearLR down': (o) => new optim.LinearLR(o, { startFactor: 1, endFactor: 0.1, totalIters: 12 }),
  PolynomialLR: (o) => new optim.PolynomialLR(o, { totalIters: 10, power: 2 }),
  CosineAnnealingLR: (o) => new optim.CosineAnnealingLR(o, 9, { etaMin: 0.01 }),
  CosineAnnealingWarmRestarts: (o) => new optim.CosineAnnealingWarmRestarts(o, 5),
  'CosineAnnealingWarmRestarts longer': (o) =>
    new optim.CosineAnnealingWarmRestarts(o, 3, { tMult: 2, etaMin: 0.02 }),
  LambdaLR: (o) => new optim.LambdaLR(o, (t) => 1 / (1 + t)),
  OneCycleLR: (o) => new optim.OneCycleLR(o, { maxLr: 1.5, totalSteps: 25 }),
  'OneCycleLR three phases': (o) =>
    new optim.OneCycleLR(o, {
      maxLr: [1, 2],
      epochs: 5,
      stepsPerEpoch: 5,
      threePhase: true,
      annealStrategy: 'linear',
      pctStart: 0.2,
    }),
  SequentialLR: (o) =>
    new optim.SequentialLR(
      o,
      [
        new optim.LinearLR(o, { startFactor: 0.2, totalIters: 4 }),
        new optim.CosineAnnealingLR(o, 10),
        new optim.ConstantLR(o, { factor: 0.25, totalIters: 3 }),
      ],
      [4, 15],
    ),
  ChainedScheduler: (o) =>
    new optim.ChainedScheduler([
      new optim.ConstantLR(o, { factor: 0.1, totalIters: 4 }),
      new optim.ExponentialLR(o, 0.9),
    ]),
  ReduceLROnPlateau: (o) => new optim.ReduceLROnPlateau(o, { patience: 2, cooldown: 1 }),
  'ReduceLROnPlateau max': (o) =>
    new optim.ReduceLROnPlateau(o, {
      mode: 'max',
      factor: 0.5,
      patience: 1,
      threshold: 0.1,
      thresholdMode: 'abs',
      minLr: 0.05,
    }),
};

function twoGroups(): optim.SGD {
  const groups = [0.5, 0.1].map((lr) => ({ params: [zeros([1])], lr }));
  return new optim.SGD(groups, { lr: 1, momentum: 0.9 });
}

function advance(scheduler: Scheduler, index: number): void {
  if (scheduler instanceof optim.ReduceLROnPlateau) scheduler.step(schedules.losses[index]!);
  else scheduler.step();
}

const close = (actual: number, expected: number) =>
  expect(Math.abs(actual - expected)).toBeLessThanOrEqual(1e-12 * Math.max(1, expected));

describe('schedules', () => {
  test('each has a reference and the other way round', () => {
    expect(schedules.cases.map(({ name }) => name)).toEqual(Object.keys(schedulers));
  });

  test.each(schedules.cases)('$name gives the rates of PyTorch', ({ name, rates, momenta }) => {
    const optimizer = twoGroups();
    const scheduler = schedulers[name]!(optimizer);
    for (const [index, wanted] of rates.entries()) {
      if (index > 0) advance(scheduler, index - 1);
      for (const [group, rate] of scheduler.getLastLr().entries()) close(rate, wanted[group]!);
      close(optimizer.momentum, momenta[index]!);
    }
  });

  test.each(Object.keys(schedulers))(
    '%s resumes from its state, after the optimizer from its own',
    (name) => {
      const [optimizer, other] = [twoGroups(), twoGroups()];
      const scheduler = schedulers[name]!(optimizer);
      for (let i = 0; i < 7; i++) advance(scheduler, i);
      other.loadStateDict(optimizer.stateDict());
      const resumed = schedulers[name]!(other);
      resumed.loadStateDict(JSON.parse(JSON.stringify(scheduler.stateDict())));
      for (let i = 7; i < 20; i++) {
        advance(scheduler, i);
        advance(resumed, i);
        expect(resumed.getLastLr()).toEqual(scheduler.getLastLr());
        expect(other.momentum).toBe(optimizer.momentum);
      }
    },
  );

  test('what cannot be right is refused', () => {
    const o = twoGroups();
    expect(() => new optim.StepLR(o, 0)).toThrow('stepSize');
    expect(() => new optim.OneCycleLR(o, { maxLr: 1 })).toThrow('totalSteps');
    const adagrad = new optim.Adagrad([zeros([1])]);
    expect(() => new optim.OneCycleLR(adagrad, { maxLr: 1, totalSteps: 5 })).toThrow('cycleMomentum: false');
    const short = new optim.OneCycleLR(adagrad, { maxLr: 1, totalSteps: 2, cycleMomentum: false });
    short.step();
    expect(() => short.step()).toThrow('made for 2 steps');
    expect(() => new optim.SequentialLR(o, [new optim.LinearLR(o)], [3])).toThrow('milestone');
    expect(() => new optim.ChainedScheduler([new optim.LinearLR(o), new optim.LinearLR(adagrad)])).toThrow(
      'same optimizer',
    );
    expect(() => new optim.LambdaLR(o, [() => 1])).toThrow('1 functions for 2 groups');
    expect(() => new optim.ReduceLROnPlateau(o, { factor: 1 })).toThrow('factor');
    expect(() => new optim.ReduceLROnPlateau(o).step(Number.NaN)).toThrow('NaN');
    expect(() => new optim.LinearLR(o).loadStateDict({ lastStep: 1, baseLrs: [1] })).toThrow('1 groups');
  });
});
