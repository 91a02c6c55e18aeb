// The module tree, its names, and its state dict.

import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { full, liveTensors, noGrad, ones, rand, type Tensor, tensor, tidy, zeros } from '../../src/index.js';
import * as nn from '../../src/nn/index.js';
import { readReference } from '../support/reference.js';

interface Reference {
  names: { stateDict: string[]; parameters: string[]; buffers: string[]; modules: string[] };
}

const reference = readReference<Reference>('nn.json');

/** The twin of make-nn.py's Block. */
class Block extends nn.Module {
  readonly patchEmbed = this.named('patch_embed1', new nn.Conv2d(3, 4, 3));
  readonly blocks = this.named(
    'block1',
    new nn.ModuleList(
      [0, 1].map(() => new nn.Sequential(new nn.Linear(4, 2), new nn.GELU(), new nn.LayerNorm(2))),
    ),
  );
  readonly embed = this.named(
    'embed_layers',
    new nn.ModuleDict({ context: new nn.Linear(2, 2), detail: new nn.Linear(2, 2, { bias: false }) }),
  );
  readonly clsToken = this.parameter(zeros([1, 4]));
  readonly norm = this.named('bn', new nn.BatchNorm2d(4));
  readonly scale = this.buffer(ones([1]));

  forward(x: Tensor): Tensor {
    return this.norm.call(this.patchEmbed.call(x)).mul(this.scale);
  }
}

describe('the module tree', () => {
  test("names and their order are PyTorch's", () => {
    const block = new Block();
    expect([...block.stateDict().keys()]).toEqual(reference.names.stateDict);
    expect([...block.namedParameters().keys()]).toEqual(reference.names.parameters);
    expect([...block.namedBuffers().keys()]).toEqual(reference.names.buffers);
    expect([...block.namedModules().keys()]).toEqual(reference.names.modules);
    expect(block.parameters()).toHaveLength(reference.names.parameters.length);
    expect(block.buffers()).toHaveLength(reference.names.buffers.length);
    expect([...block.blocks].map((item) => item.layers.length)).toEqual([3, 3]);
    expect(block.blocks.length).toBe(2);
  });

  test('parameters require gradients, buffers do not, and both outlive a tidy scope', () => {
    const made: Block[] = [];
    tidy(() => {
      made.push(new Block());
    });
    const block = made[0]!;
    expect(block.parameters().every((p) => p.requiresGrad)).toBe(true);
    expect(block.buffers().some((b) => b.requiresGrad)).toBe(false);
    expect([...block.stateDict().values()].some((t) => t.disposed)).toBe(false);
  });

  test('train and eval reach every module', () => {
    const block = new Block();
    const modes = () =>
      new Set(
        [...block.namedModules().values()].flatMap((module) =>
          module instanceof nn.Module ? [module.training] : [],
        ),
      );
    expect(modes()).toEqual(new Set([true]));
    expect(block.eval()).toBe(block);
    expect(modes()).toEqual(new Set([false]));
    block.train();
    expect(modes()).toEqual(new Set([true]));
  });

  test('apply visits children first', () => {
    const seen: nn.StateModule[] = [];
    const block = new Block().apply((module) => seen.push(module));
    expect(new Set(seen)).toEqual(new Set(block.namedModules().values()));
    expect(seen.at(-1)).toBe(block);
    expect(seen.indexOf(block.blocks.items[0]!.layers[0]!)).toBeLessThan(seen.indexOf(block.blocks));
  });

  test('requiresGrad_ freezes and zeroGrad drops gradients', () => {
    const layer = new nn.Linear(2, 2);
    layer
      .call(ones([1, 2]))
      .sum()
      .backward();
    expect(layer.weight.grad).not.toBeNull();
    layer.zeroGrad();
    expect(layer.weight.grad).toBeNull();
    layer.requiresGrad_(false);
    expect(layer.call(ones([1, 2])).requiresGrad).toBe(false);
  });

  test('to converts floating-point values and keeps integers', () => {
    const norm = new nn.BatchNorm2d(2);
    norm
      .call(rand([1, 2, 3, 3]))
      .sum()
      .backward();
    norm.to({ dtype: 'float64' });
    expect([...norm.stateDict().values()].map((t) => t.dtype)).toEqual([
      ...Array(4).fill('float64'),
      'int64',
    ]);
    expect(norm.weight.grad).toBeNull();
    const y = norm.call(rand([1, 2, 3, 3], { dtype: 'float64' }));
    y.sum().backward();
    expect(norm.weight.grad?.dtype).toBe('float64');
    norm.to({ device: 'cpu' });
    expect(norm.weight.dtype).toBe('float64');
  });

  test('a shared part is trained once but saved under both names', () => {
    class Shared extends nn.Module {
      readonly a = new nn.Linear(2, 2);
      readonly b = this.a;
      readonly tied = this.parameter(this.a.weight);
      forward(x: Tensor): Tensor {
        return this.b.call(this.a.call(x));
      }
    }
    const shared = new Shared();
    expect([...shared.namedParameters().keys()]).toEqual(['tied', 'a.bias']);
    expect([...shared.namedModules().keys()]).toEqual(['', 'a']);
    expect([...shared.stateDict().keys()]).toEqual(['tied', 'a.weight', 'a.bias', 'b.weight', 'b.bias']);
  });

  test('a name that is taken, empty or dotted is refused', () => {
    class Named extends nn.Module {
      constructor(...names: string[]) {
        super();
        for (const name of names) this.named(name, this.parameter(zeros([1])));
      }
      forward(x: Tensor): Tensor {
        return x;
      }
    }
    expect(() => new Named('a', 'a')).toThrow("Named has already registered the name 'a'");
    expect(() => new Named('')).toThrow('must not be empty');
    expect(() => new Named('a.b')).toThrow("'a.b'");
  });

  test('a field is a member by being there, under its name in snake_case', () => {
    class Fields extends nn.Module {
      readonly decodeHead = new nn.Linear(1, 1, { bias: false });
      readonly block1 = new nn.LayerNorm(1);
      readonly numBatchesTracked = this.buffer(zeros([]));
      readonly clsToken = this.parameter(zeros([1]));
      readonly constant = zeros([1]);
      readonly absent: nn.Linear | undefined = undefined;
      readonly #hidden = new nn.Linear(1, 1);
      forward(x: Tensor): Tensor {
        return this.#hidden.call(x);
      }
    }
    const names = [...new Fields().stateDict().keys()];
    expect(names).toEqual([
      'cls_token',
      'num_batches_tracked',
      'decode_head.weight',
      'block1.weight',
      'block1.bias',
    ]);
  });

  test('`named` gives a name to a field, and to what no field holds, which comes first', () => {
    class Given extends nn.Module {
      readonly first = new nn.Linear(1, 1, { bias: false });
      readonly fuse = this.named('linear_fuse', new nn.Linear(1, 1, { bias: false }));
      readonly last = new nn.Linear(1, 1, { bias: false });
      readonly levels = [0, 1].map((i) => this.named(`c${i}`, new nn.Linear(1, 1, { bias: false })));
      forward(x: Tensor): Tensor {
        return x;
      }
    }
    expect([...new Given().stateDict().keys()]).toEqual([
      'c0.weight',
      'c1.weight',
      'first.weight',
      'linear_fuse.weight',
      'last.weight',
    ]);
  });

  test('arrays and maps in fields are read item by item, as often as they change', () => {
    class Listed extends nn.StateModule {
      readonly blocks: nn.StateModule[] = [new nn.GELU(), new nn.Linear(1, 1, { bias: false })];
      readonly experts = new Map([['first', [new nn.Linear(1, 1, { bias: false })]]]);
      readonly tokens = [this.parameter(zeros([1])), this.buffer(zeros([1]))];
      readonly sizes = [1, 2];
    }
    const listed = new Listed();
    const names = ['tokens.0', 'tokens.1', 'blocks.1.weight', 'experts.first.0.weight'];
    expect([...listed.stateDict().keys()]).toEqual(names);
    expect([...listed.namedModules().keys()]).toEqual(['', 'blocks.0', 'blocks.1', 'experts.first.0']);
    listed.blocks.push(new nn.Linear(1, 1));
    expect([...listed.stateDict().keys()]).toContain('blocks.2.bias');
    listed.experts.set('a.b', [new nn.Linear(1, 1)]);
    expect(() => listed.parameters()).toThrow("the name 'a.b'");
  });

  test('a list has the names of a ModuleList, a map the names of a ModuleDict', () => {
    const make = () => [new nn.Linear(1, 2), new nn.Linear(2, 1)] as const;
    class Plain extends nn.StateModule {
      readonly list = [...make()];
      readonly map = new Map(Object.entries({ a: new nn.Linear(1, 1) }));
    }
    class Wrapped extends nn.StateModule {
      readonly list = new nn.ModuleList(make());
      readonly map = new nn.ModuleDict({ a: new nn.Linear(1, 1) });
    }
    expect([...new Plain().stateDict().keys()]).toEqual([...new Wrapped().stateDict().keys()]);
  });

  test('a network is written as a tree, with the settings of each layer', () => {
    class Net extends nn.Module {
      readonly stem = new nn.Sequential(new nn.Conv2d(3, 4, 3, { padding: 1 }), new nn.ReLU());
      readonly heads = [new nn.Linear(4, 2)];
      forward(x: Tensor): Tensor {
        return x;
      }
      override extraRepr(): string {
        return 'classes=2';
      }
    }
    const tree = `Net(
  classes=2
  (stem): Sequential(
    (0): Conv2d(3, 4, kernelSize=[3, 3], stride=[1, 1], padding=[1, 1])
    (1): ReLU()
  )
  (heads.0): Linear(inFeatures=4, outFeatures=2, bias=true)
)`;
    expect(String(new Net())).toBe(tree);
    expect(inspect(new Net())).toBe(tree);
  });

  test('what would be lost is refused: marked tensors that no field holds, one name for two', () => {
    class Lost extends nn.StateModule {
      readonly #weight = this.parameter(zeros([2, 3]));
      get weight(): Tensor {
        return this.#weight;
      }
    }
    expect(() => new Lost().stateDict()).toThrow('Lost marks a parameter [2,3] that no public field holds');
    class Twice extends nn.StateModule {
      readonly aB = this.buffer(zeros([1]));
      readonly a_b = this.buffer(zeros([1]));
    }
    expect(() => new Twice().buffers()).toThrow("Twice has already registered the name 'a_b'");
  });

  test('what only has a state has no forward, and neither have lists and dictionaries', () => {
    class Bank extends nn.StateModule {
      readonly rows = this.buffer(zeros([2]));
    }
    const items = [new Bank(), new nn.ModuleList([new nn.GELU()]), new nn.ModuleDict({ a: new nn.GELU() })];
    expect(items.filter((item) => 'call' in item || 'forward' in item || 'train' in item)).toEqual([]);
    expect([...new nn.ModuleDict({ bank: items[0]! }).stateDict().keys()]).toEqual(['bank.rows']);
  });

  test('dispose frees all parameters, buffers and gradients', () => {
    const before = liveTensors();
    {
      using block = new Block();
      tidy(() =>
        block
          .call(rand([2, 3, 5, 5]))
          .sum()
          .backward(),
      );
      expect(liveTensors()).toBeGreaterThan(before);
    }
    expect(liveTensors()).toBe(before);
  });

  test('call frees intermediates, and Sequential frees each as soon as it is used', () => {
    let most = 0;
    class Probe extends nn.Module {
      forward(x: Tensor): Tensor {
        const y = x.add(1).mul(2);
        most = Math.max(most, liveTensors());
        return y;
      }
    }
    const chain = new nn.Sequential(...Array.from({ length: 20 }, () => new Probe()));
    const x = rand([4]);
    const before = liveTensors();
    noGrad(() => chain.call(x)).dispose();
    expect(liveTensors()).toBe(before);
    // A probe's input, its intermediate and its output.
    expect(most - before).toBe(3);
    expect(x.disposed).toBe(false);
  });

  test('Sequential passes through layers that return their input', () => {
    const x = rand([4]);
    const chain = new nn.Sequential(new nn.Identity(), new nn.ReLU(), new nn.Identity(), new nn.Identity());
    expect(chain.call(x).tolist()).toEqual(x.tolist());
    expect(new nn.Sequential(new nn.Identity()).call(x)).toBe(x);
    expect(x.disposed).toBe(false);
  });
});

describe('loadStateDict', () => {
  const values = (module: nn.Module) => [...module.stateDict().values()].map((t) => t.tolist());

  test('copies another module exactly', () => {
    const from = new Block();
    from.call(rand([2, 3, 5, 5]));
    const to = new Block();
    expect(values(to)).not.toEqual(values(from));
    expect(to.loadStateDict(from.stateDict())).toEqual({ missing: [], unexpected: [] });
    expect(values(to)).toEqual(values(from));
    expect(to.clsToken).not.toBe(from.clsToken);
  });

  test('lists everything that does not fit in one error and changes nothing', () => {
    const from = new Block();
    const to = new Block();
    const before = values(to);
    const state = new Map(from.stateDict());
    state.delete('block1.0.0.weight');
    state.delete('bn.running_var');
    state.set('head.weight', zeros([2]));
    state.set('cls_token', zeros([4]));
    state.set('patch_embed1.bias', zeros([5]));
    const load = () => to.loadStateDict(state);
    expect(load).toThrow('does not fit Block');
    expect(load).toThrow('2 missing in the state dict:\n  block1.0.0.weight\n  bn.running_var');
    expect(load).toThrow('1 unknown to the module:\n  head.weight');
    expect(load).toThrow(
      '2 of another shape:\n  cls_token: the module has [1,4], the state dict [4]\n' +
        '  patch_embed1.bias: the module has [4], the state dict [5]',
    );
    expect(() => to.loadStateDict(state, { strict: false })).toThrow('2 of another shape');
    expect(values(to)).toEqual(before);
  });

  test('reports what it did not use when not strict', () => {
    const layer = new nn.Linear(2, 2);
    const bias = layer.bias!.tolist();
    const state = new Map([
      ['weight', full([2, 2], 3)],
      ['head.bias', zeros([1])],
    ]);
    expect(() => layer.loadStateDict(state)).toThrow('strict: false');
    expect(layer.loadStateDict(state, { strict: false })).toEqual({
      missing: ['bias'],
      unexpected: ['head.bias'],
    });
    expect(layer.weight.tolist()).toEqual([
      [3, 3],
      [3, 3],
    ]);
    expect(layer.bias!.tolist()).toEqual(bias);
  });

  test('converts dtypes and keeps parameters trainable leaves', () => {
    const layer = new nn.Linear(2, 1, { bias: false });
    layer.loadStateDict(new Map([['weight', tensor([[1.5, -2]], { dtype: 'float16' })]]));
    expect(layer.weight.dtype).toBe('float32');
    expect(layer.weight.tolist()).toEqual([[1.5, -2]]);
    layer
      .call(ones([1, 2]))
      .sum()
      .backward();
    expect(layer.weight.grad?.tolist()).toEqual([[1, 1]]);
  });
});
