// Kernels that libtorch lacks for the device 'meta', so that the tests of devices can run what needs them.

import { ops, Tensor, tidy, zeros } from '@pgpc/torch';
import { vi } from 'vitest';

// biome-ignore lint/suspicious/noExplicitAny: operators of many signatures are replaced by one piece of code
type Operator = (...args: any[]) => any;

/** One operator: where it is called, a call that tells whether it has a kernel, and its stand-in without one. */
interface StandIn {
  on: object;
  name: string;
  trial: () => unknown;
  /** As the operator, `self` first where it is a method. Checks devices, because the operators that it calls do. */
  by: Operator;
}

const kind = { device: 'meta' } as const;
const map = () => zeros([1, 1, 4, 4], kind);

function logsumexp(x: Tensor, axes: number[], keepdim = false): Tensor {
  return x.exp().sum(axes, keepdim).log();
}

const standIns: readonly StandIn[] = [
  {
    on: ops,
    name: 'where',
    trial: () => ops.where(map().gt(0), map(), map()),
    by: (condition: Tensor, a: Tensor, b: Tensor) => a.mul(condition).add(b.mul(condition.logicalNot())),
  },
  ...(['logicalNot', 'logicalAnd', 'logicalOr', 'logicalAnd_'] as const).map((name) => ({
    on: Tensor.prototype,
    name,
    trial: () => map().to('bool')[name](map().to('bool')),
    by: {
      logicalNot: (x: Tensor) => x.eq(0),
      logicalAnd: (x: Tensor, y: Tensor) => x.bitwiseAnd(y),
      logicalOr: (x: Tensor, y: Tensor) => x.bitwiseOr(y),
      logicalAnd_: (x: Tensor, y: Tensor) => x.bitwiseAnd_(y),
    }[name],
  })),
  {
    on: Tensor.prototype,
    name: 'indexSelect',
    trial: () => map().indexSelect(0, zeros([1], { dtype: 'int64', ...kind })),
    by: (x: Tensor, axis: number, index: Tensor) =>
      x
        .transpose(0, axis)
        .index([index.to('int64')])
        .transpose(0, axis),
  },
  {
    on: Tensor.prototype,
    name: 'floorDivide',
    trial: () => map().floorDivide(2),
    by: (x: Tensor, divisor: number) => x.div(divisor, { roundingMode: 'floor' }),
  },
  { on: ops, name: 'logsumexp', trial: () => ops.logsumexp(map(), [0]), by: logsumexp },
  { on: Tensor.prototype, name: 'logsumexp', trial: () => map().logsumexp([0]), by: logsumexp },
  {
    on: ops,
    name: 'kthvalue',
    trial: () => ops.kthvalue(zeros([4], kind), 2),
    by: (x: Tensor, k: number) => x.topk(k).map((found) => found.select(0, k - 1)),
  },
  {
    on: Tensor.prototype,
    name: 'argsort',
    trial: () => map().argsort({ stable: true }),
    by: (x: Tensor, axis: unknown, descending?: boolean) =>
      x.sort(typeof axis === 'number' ? axis : -1, descending ?? false)[1],
  },
  { on: Tensor.prototype, name: 'flip', trial: () => map().flip([3]), by: (x: Tensor) => x.neg() },
  {
    on: Tensor.prototype,
    name: 'pad',
    trial: () => map().pad([1, 1, 1, 1], 'reflect'),
    by: (x: Tensor, border: number[]) => x.constantPadNd(border, 0),
  },
  {
    on: ops,
    name: 'conv2d',
    trial: () => ops.conv2d(map(), map()),
    // One kernel a channel.
    by: (x: Tensor, weight: Tensor) => {
      const [channels, , height, width] = weight.shape as [number, number, number, number];
      const windows = x.unfold(2, height, 1).unfold(3, width, 1);
      return windows.mul(weight.view([1, channels, 1, 1, height, width])).sum([4, 5]);
    },
  },
  {
    on: ops,
    name: 'adaptiveAvgPool2d',
    trial: () => ops.adaptiveAvgPool2d(map(), [2, 2]),
    // Where the size divides the map's.
    by: (x: Tensor, size: [number, number]) => {
      const cell = size.map((to, i) => x.shape.at(i - 2)! / to);
      return ops.avgPool2d(x, cell, cell);
    },
  },
  {
    on: ops,
    name: 'searchsorted',
    trial: () => ops.searchsorted(zeros([1, 2], kind), zeros([1, 3], kind)),
    by: (_sorted: Tensor, values: Tensor) => values.to('int64'),
  },
  {
    on: ops,
    name: 'layerNorm',
    trial: () => ops.layerNorm(map(), [4], zeros([4], kind), zeros([4], kind)),
    by: (x: Tensor, _size: number[], weight: Tensor, bias: Tensor) => x.mul(weight).add(bias),
  },
  {
    // How modules and others move what they keep; libtorch lets no tensor become one of 'meta'.
    on: Tensor.prototype,
    name: 'setData',
    trial: () => zeros([1]).setData(zeros([1], kind)),
    by: (x: Tensor, data: Tensor) => {
      [x.handle, data.handle] = [data.handle, x.handle];
    },
  },
];

/** Whether libtorch can do something on 'meta'. */
export function onMeta(trial: () => unknown): boolean {
  try {
    tidy(() => {
      trial();
    });
    return true;
  } catch {
    return false;
  }
}

/**
 * Puts the stand-ins into place for what libtorch lacks; they are called where an argument is on 'meta'.
 * @returns what undoes it.
 */
export function standIn(): () => void {
  const lacking = standIns.filter(({ trial }) => !onMeta(trial));
  const spies = lacking.map(({ on, name, by }) => {
    const own = (on as Record<string, Operator>)[name]!;
    return vi.spyOn(on as Record<string, Operator>, name).mockImplementation(function (
      this: unknown,
      ...args: unknown[]
    ) {
      const all = this instanceof Tensor ? [this, ...args] : args;
      const meta = all.some((argument) => argument instanceof Tensor && argument.device === 'meta');
      return meta ? by(...all) : own.apply(this, args);
    });
  });
  return () => {
    for (const spy of spies) spy.mockRestore();
  };
}
