// Activation checkpointing against the same networks without it.

import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  Generator,
  liveTensors,
  memory,
  nn,
  noGrad,
  ones,
  ops,
  randn,
  type Tensor,
  tidy,
} from '../../src/index.js';

afterEach(() => vi.restoreAllMocks());

/** Linear, dropout, GELU: a module that draws, keeps tensors for backward, and is given a number besides. */
class Block extends nn.Module<[x: Tensor, scale: number]> {
  readonly linear: nn.Linear;
  readonly dropout: nn.Dropout;

  constructor(generator: Generator) {
    super();
    this.linear = new nn.Linear(6, 6, { generator });
    this.dropout = new nn.Dropout(0.3, { generator });
  }

  forward(x: Tensor, scale: number): Tensor {
    return ops.gelu(this.dropout.call(this.linear.call(x))).mul(scale);
  }
}

class Chain extends nn.Module {
  readonly first: nn.Linear;
  readonly blocks: nn.ModuleList<Block>;
  readonly generator = new Generator(4);

  constructor(depth: number) {
    super();
    const { generator } = this;
    this.first = new nn.Linear(5, 6, { generator });
    const blocks = Array.from({ length: depth }, () => new Block(generator));
    this.blocks = new nn.ModuleList(blocks);
  }

  /** A tree of ways: every block reads the sum of all before it, and the output is of all blocks. */
  forward(x: Tensor): Tensor {
    let sum = this.first.call(x).tanh();
    const outputs: Tensor[] = [];
    for (const block of this.blocks) {
      const y = block.call(sum, 0.7);
      sum = sum.add(y);
      outputs.push(y);
    }
    return ops.cat(outputs, 1);
  }
}

const input = (seed = 1, shape = [3, 5], dtype: 'float32' | 'float64' = 'float32') => {
  using generator = new Generator(seed);
  return randn(shape, { generator, dtype });
};

/** The same but for the order in which gradients are summed up. */
function expectClose(actual: Record<string, unknown>, wanted: Record<string, unknown>): void {
  const numbers = (values: Record<string, unknown>) => Object.values(values).flat(3) as number[];
  expect(Object.keys(actual)).toEqual(Object.keys(wanted));
  expect(numbers(wanted).every(Number.isFinite)).toBe(true);
  for (const [i, number] of numbers(wanted).entries()) expect(numbers(actual)[i]).toBeCloseTo(number, 12);
}

function gradients(network: nn.StateModule): Record<string, unknown> {
  const entries = [...network.namedParameters()].map(([name, { grad }]) => [name, grad?.tolist() ?? null]);
  return Object.fromEntries(entries);
}

/** What a step leaves behind, by one way of calling backward. */
function trained(
  network: Chain | nn.Sequential,
  x: Tensor,
  checkpoints: nn.ActivationCheckpoints | undefined,
): Record<string, unknown> {
  return tidy(() => {
    network.zeroGrad();
    const loss = () => network.call(x).square().sum();
    const value = checkpoints
      ? checkpoints.record(() => {
          const found = loss();
          checkpoints.backward(found);
          return found;
        })
      : loss();
    if (!checkpoints) value.backward();
    return { loss: value.item(), input: x.grad?.tolist(), ...gradients(network) };
  });
}

describe('ActivationCheckpoints', () => {
  test('gives the same gradients: several readers, dropout, an input with a gradient', () => {
    const [plain, twice] = [new Chain(5), new Chain(5)].map((chain) => chain.to({ dtype: 'float64' })) as [
      Chain,
      Chain,
    ];
    const checkpoints = new nn.ActivationCheckpoints(twice.blocks);
    for (let seed = 0; seed < 3; seed++) {
      const [a, b] = [0, 1].map(() => input(seed, [3, 5], 'float64').requiresGrad_()) as [Tensor, Tensor];
      expectClose(trained(twice, b, checkpoints), trained(plain, a, undefined));
    }
    // Each has drawn as often.
    expect(twice.generator.getState()).toEqual(plain.generator.getState());
  });

  test('runs a module twice where it is trained, and once without a gradient', () => {
    const chain = new Chain(3);
    const checkpoints = new nn.ActivationCheckpoints(chain.blocks);
    const forward = vi.spyOn(Block.prototype, 'forward');
    trained(chain, input(), checkpoints);
    expect(forward).toHaveBeenCalledTimes(6);
    forward.mockClear();
    checkpoints.record(() => noGrad(() => chain.call(input())));
    expect(forward).toHaveBeenCalledTimes(3);
    forward.mockClear();
    chain.requiresGrad_(false);
    checkpoints.record(() => chain.call(input()));
    expect(forward).toHaveBeenCalledTimes(3);
  });

  test('a module inside another runs with it', () => {
    const build = () =>
      new nn.Sequential(
        new nn.Sequential(new nn.Linear(5, 4, { generator: new Generator(1) }), new nn.ReLU()),
      );
    const [plain, twice] = [build(), build()];
    const forward = vi.spyOn(nn.ReLU.prototype, 'forward');
    const modules = [...twice.namedModules().values()].filter((module) => module instanceof nn.Module);
    const checkpoints = new nn.ActivationCheckpoints(modules);
    const wanted = trained(plain, input(), undefined);
    forward.mockClear();
    expect(trained(twice, input(), checkpoints)).toEqual(wanted);
    expect(forward).toHaveBeenCalledTimes(2);
  });

  test('moves the running statistics of batch norm once', () => {
    const build = () => {
      const generator = new Generator(2);
      const conv = (from: number) => new nn.Conv2d(from, 4, 3, { padding: 1, generator });
      return new nn.Sequential(conv(2), new nn.BatchNorm2d(4), new nn.ReLU(), conv(4), new nn.BatchNorm2d(4));
    };
    const [plain, twice] = [build(), build()];
    const checkpoints = new nn.ActivationCheckpoints(twice.layers);
    for (let seed = 0; seed < 3; seed++) {
      const x = input(seed, [2, 2, 5, 4]);
      expect(trained(twice, x, checkpoints)).toEqual(trained(plain, x, undefined));
    }
    const state = (network: nn.StateModule) =>
      [...network.namedBuffers()].map(([name, b]) => [name, b.tolist()]);
    expect(state(twice)).toEqual(state(plain));
    expect(Number(plain.namedBuffers().get('1.num_batches_tracked')!.item())).toBe(3);
  });

  test('several backward passes in one recording accumulate', () => {
    const [plain, twice] = [new Chain(3), new Chain(3)].map((chain) => chain.to({ dtype: 'float64' })) as [
      Chain,
      Chain,
    ];
    const checkpoints = new nn.ActivationCheckpoints(twice.blocks);
    const sum = (chain: Chain, seed: number) => chain.call(input(seed, [3, 5], 'float64')).sum();
    tidy(() => {
      for (const seed of [1, 2]) sum(plain, seed).backward();
      checkpoints.record(() => {
        for (const seed of [1, 2]) checkpoints.backward(sum(twice, seed));
      });
    });
    expectClose(gradients(twice), gradients(plain));
  });

  test('an output that no loss depends on costs nothing more', () => {
    const chain = new Chain(2);
    const checkpoints = new nn.ActivationCheckpoints(chain.blocks);
    const forward = vi.spyOn(Block.prototype, 'forward');
    tidy(() =>
      checkpoints.record(() => {
        const x = chain.first.call(input());
        const [first, second] = [...chain.blocks] as [Block, Block];
        const used = first.call(x, 1);
        second.call(used, 1);
        checkpoints.backward(used.sum());
      }),
    );
    expect(forward).toHaveBeenCalledTimes(3);
    const [first, second] = chain.blocks.items as [Block, Block];
    expect(first.linear.weight.grad).not.toBeNull();
    expect(second.linear.weight.grad).toBeNull();
  });

  test('leaves no tensor behind, nor after an error on the way there or back', () => {
    const chain = new Chain(4);
    const checkpoints = new nn.ActivationCheckpoints(chain.blocks);
    const x = input();
    trained(chain, x, checkpoints);
    const before = [liveTensors(), memory().bytes];
    const after = () => {
      for (const { grad } of chain.parameters()) grad?.dispose();
      return [liveTensors(), memory().bytes];
    };
    for (let i = 0; i < 3; i++) trained(chain, x, checkpoints);
    expect(after()).toEqual(before);

    const forward = Block.prototype.forward;
    for (const failing of [3, 6]) {
      let calls = 0;
      vi.spyOn(Block.prototype, 'forward').mockImplementation(function (this: Block, ...args) {
        if (++calls === failing) throw new Error('out of memory');
        return forward.apply(this, args);
      });
      expect(() => trained(chain, x, checkpoints)).toThrow('out of memory');
      vi.restoreAllMocks();
      expect(trained(chain, x, checkpoints)).toHaveProperty('loss');
      expect(after()).toEqual(before);
    }
  });

  test('says what it cannot do', () => {
    const chain = new Chain(2);
    const checkpoints = new nn.ActivationCheckpoints(chain.blocks);
    const before = liveTensors();
    expect(() => checkpoints.record(() => tidy(() => chain.call(input()).sum().backward()))).toThrow(
      'without a backward pass of their checkpoints',
    );
    expect(() =>
      checkpoints.record(() =>
        tidy(() => {
          const x = chain.first.call(input());
          const y = chain.blocks.items[0]!.call(x, 1);
          noGrad(() => x.add_(1));
          checkpoints.backward(y.sum());
        }),
      ),
    ).toThrow('the input of Block was changed in place before it was needed again');
    class Source extends nn.Module<[]> {
      forward(): Tensor {
        return ones([1]);
      }
    }
    const source = new Source();
    const wrong = new nn.ActivationCheckpoints([source]);
    expect(() => wrong.record(() => source.call())).toThrow(
      'Source cannot be checkpointed: its input is no tensor',
    );
    expect(liveTensors()).toBeLessThanOrEqual(before + 1);
  });
});
