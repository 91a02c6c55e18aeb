// What a trace tells of a network: every operator in order, with its module, its arguments and what it wrote to.

import { nn, noGrad, ones, ops, type Tensor, type TracedCall, tidy, traceOperators } from '@pgpc/torch';
import { expect, test } from 'vitest';

class Inner extends nn.Module {
  forward(x: Tensor): Tensor {
    return x.mul(3).relu_();
  }
}

class Outer extends nn.Module {
  readonly inner = new Inner();

  forward(x: Tensor): Tensor {
    return ops.cat([this.inner.call(x), x], 1).sum([0], { keepdim: true });
  }
}

function traced(network: nn.Module, x: Tensor): { calls: TracedCall[]; y: Tensor } {
  const calls: TracedCall[] = [];
  const y = noGrad(() =>
    traceOperators(
      network,
      () => network.call(x),
      (call) => calls.push(call),
    ),
  );
  return { calls, y };
}

test('names every operator in order, with the module that called it', () => {
  const x = ones([2, 2]);
  const { calls, y } = traced(new Outer(), x);
  expect(calls.map(({ name, module }) => [name, module])).toEqual([
    ['aten::mul.Scalar', 'inner'],
    ['aten::relu_', 'inner'],
    ['aten::cat', ''],
    ['aten::sum.dim_IntList', ''],
  ]);
  expect(calls.map(({ written }) => written)).toEqual([[], ['self'], [], []]);
  expect(y.tolist()).toEqual([[6, 6, 2, 2]]);
});

test('gives arguments by name, and tensors that tell one another apart', () => {
  const x = ones([2, 2]);
  const [mul, relu, cat, sum] = traced(new Outer(), x).calls as [
    TracedCall,
    TracedCall,
    TracedCall,
    TracedCall,
  ];
  expect([...mul.args]).toEqual([
    ['self', x],
    ['other', 3],
  ]);
  expect(mul.args.get('self')).toBe(x);
  expect(relu.args.get('self')).toBe(mul.results[0]);
  expect(relu.results[0]).toBe(mul.results[0]);
  expect((cat.args.get('tensors') as Tensor[])[0]).toBe(mul.results[0]);
  expect(Object.fromEntries(sum.args)).toEqual({ self: cat.results[0], dim: [0], keepdim: true });
});

test('does not tell of what the watcher computes, nor of anything afterwards', () => {
  const network = new Inner();
  const seen: string[] = [];
  const x = ones([1]);
  traceOperators(
    network,
    () => network.call(x),
    ({ name, results }) => {
      seen.push(name);
      tidy(() => (results[0] as Tensor).add(1).item());
    },
  );
  x.add(1);
  expect(seen).toEqual(['aten::mul.Scalar', 'aten::relu_']);
});

test('ends with an error of the network, and of the watcher', () => {
  const network = new Inner();
  const count = (fail: boolean) => {
    let calls = 0;
    const work = () => {
      traceOperators(
        network,
        () => network.call(fail ? ones([2]).mul(ones([3])) : ones([2])),
        () => {
          calls++;
          if (!fail) throw new Error('the watcher fails');
        },
      );
    };
    expect(work).toThrow(fail ? /must match the size/ : 'the watcher fails');
    ones([1]).add(1);
    return calls;
  };
  // Two tensors are made before the product that fails.
  expect(count(true)).toBe(2);
  expect(count(false)).toBe(1);
});
