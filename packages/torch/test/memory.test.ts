// Who frees a tensor: tidy scopes, keep, dispose, `using`, the garbage collector; and that nothing leaks.

import { existsSync, readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  autocast,
  fromTypedArray,
  full,
  Generator,
  keep,
  liveTensors,
  memory,
  noGrad,
  ones,
  ops,
  randint,
  randn,
  Tensor,
  tensor,
  tidy,
} from '../src/index.js';
import * as nn from '../src/nn/index.js';
import { AdamW } from '../src/optim/index.js';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

/** Collects garbage until what is alive no longer changes; finalizers run in tasks of their own. */
async function collect(): Promise<void> {
  for (let before = -1; before !== liveTensors(); ) {
    before = liveTensors();
    for (let i = 0; i < 3; i++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

/** Tensors alive at the start of a test: what earlier ones left to the garbage collector may still be there. */
let start = 0;
const grown = () => liveTensors() - start;

beforeEach(async () => {
  await collect();
  start = liveTensors();
});

describe('tidy', () => {
  test('frees what is made inside and gives back what is returned', () => {
    const result = tidy(() => {
      const a = ones([2]);
      a.add(1).add(1);
      return a.mul(3);
    });
    expect(result.tolist()).toEqual([3, 3]);
    expect(grown()).toBe(1);
    result.dispose();
    expect(grown()).toBe(0);
  });

  test('finds tensors in every kind of container', () => {
    class Pair {
      constructor(
        readonly a: Tensor,
        readonly b: unknown,
      ) {}
    }
    const result = tidy(() => {
      ones([1]).add(1);
      const shared = ones([1]);
      return {
        array: [ones([1]), [ones([1])]],
        map: new Map<unknown, unknown>([
          ['value', ones([1])],
          [ones([1]), 'key'],
        ]),
        set: new Set([ones([1])]),
        object: new Pair(ones([1]), { deep: { deeper: ones([1]) } }),
        twice: [shared, shared],
        others: [
          null,
          undefined,
          1,
          'text',
          Symbol('s'),
          new Float32Array(2),
          new ArrayBuffer(2),
          new Date(),
          () => 1,
        ],
      };
    });
    expect(grown()).toBe(8);
    expect(result.twice[0]!.item()).toBe(1);
    expect([...result.map.keys()].some((key) => key instanceof Tensor && !key.disposed)).toBe(true);
    tidy(() => {
      // What is not made inside is not the scope's to free.
      return result;
    });
    expect(grown()).toBe(8);
  });

  test('nested: what leaves the inner scope belongs to the outer', () => {
    const last = tidy(() => {
      const inner = tidy(() => [ones([1]), ones([1]).add(1)]);
      expect(grown()).toBe(2);
      return inner[1]!;
    });
    expect(grown()).toBe(1);
    expect(last.item()).toBe(2);
    last.dispose();
  });

  test('a tensor of the outer scope survives the inner one, returned or not', () => {
    tidy(() => {
      const outer = ones([1]);
      tidy(() => outer);
      tidy(() => outer.add(1));
      tidy(() => {});
      expect(outer.item()).toBe(1);
      expect(grown()).toBe(2);
    });
    expect(grown()).toBe(0);
  });

  test('frees everything when the function throws, at any depth', () => {
    expect(() =>
      tidy(() => {
        ones([1]);
        tidy(() => {
          ones([1]);
          throw new Error('inside');
        });
      }),
    ).toThrow('inside');
    expect(grown()).toBe(0);
    // The scopes are closed: what is made now belongs to nobody's scope.
    const after = ones([1]);
    tidy(() => {});
    expect(after.disposed).toBe(false);
    after.dispose();
  });

  test('frees everything when a result cannot be looked through', () => {
    const faulty = () =>
      tidy(() => ({
        tensor: ones([1]),
        get fault() {
          throw new Error('getter');
        },
      }));
    expect(faulty).toThrow('getter');
    expect(grown()).toBe(0);
  });

  test('refuses promises and thenables', () => {
    expect(() => tidy(() => Promise.resolve(ones([1])))).toThrow(/a function that is not async/);
    // biome-ignore lint/suspicious/noThenProperty: that is what is refused
    expect(() => tidy(() => ({ then: () => ones([1]) }))).toThrow(TypeError);
    expect(grown()).toBe(0);
  });

  test('cyclic results', () => {
    const result = tidy(() => {
      const cycle: { self?: unknown; list: unknown[]; tensor: Tensor } = { list: [], tensor: ones([1]) };
      cycle.self = cycle;
      cycle.list.push(cycle, cycle.list);
      return cycle;
    });
    expect(grown()).toBe(1);
    result.tensor.dispose();
  });

  test('results nested deeper than the stack, and wider than its arguments', () => {
    const deep = tidy(() => {
      let nested: unknown[] = [ones([1])];
      for (let i = 0; i < 200_000; i++) nested = [nested];
      return nested;
    });
    expect(grown()).toBe(1);
    tidy(() => new Array(300_000).fill(deep));
    const wide = tidy(() => Array.from({ length: 300_000 }, (_, i) => (i % 1000 === 0 ? ones([1]) : i)));
    expect(grown()).toBe(301);
    for (const item of wide) if (item instanceof Tensor) item.dispose();
    expect(grown()).toBe(1);
  });

  test('more tensors than the command buffer holds', () => {
    tidy(() => {
      for (let i = 0; i < 40_000; i++) ones([1]);
      expect(grown()).toBe(40_000);
    });
    expect(grown()).toBe(0);
  });

  test('any tree of scopes keeps exactly what it returns', () => {
    type Tree = { returned: number; freed: number; children: Tree[]; pass: boolean };
    const node = (children: fc.Arbitrary<Tree[]>) =>
      fc.record({ returned: fc.nat(3), freed: fc.nat(3), children, pass: fc.boolean() });
    const { tree } = fc.letrec<{ tree: Tree }>((tie) => ({
      tree: fc.oneof({ maxDepth: 4 }, node(fc.constant([])), node(fc.array(tie('tree'), { maxLength: 3 }))),
    }));
    const run = ({ returned, freed, children, pass }: Tree): Tensor[] =>
      tidy(() => {
        for (let i = 0; i < freed; i++) ones([1]);
        const below = children.flatMap(run);
        const mine = Array.from({ length: returned }, () => ones([1]));
        return pass ? [...mine, ...below] : mine;
      });
    const count = ({ returned, children, pass }: Tree): number =>
      returned + (pass ? children.reduce((n, child) => n + count(child), 0) : 0);
    fc.assert(
      fc.property(tree, (wanted) => {
        const before = liveTensors();
        const result = run(wanted);
        expect(liveTensors() - before).toBe(count(wanted));
        expect(result.filter((x) => x.disposed)).toEqual([]);
        for (const x of result) x.dispose();
        expect(liveTensors()).toBe(before);
      }),
    );
  });
});

/** Lets everything else that is ready run. */
const pause = () => new Promise<void>((resolve) => setTimeout(resolve, 1));

describe('tidy of an async function', () => {
  test('frees what is made before and after an await, and gives back what is returned', async () => {
    const result = await tidy(async () => {
      const a = ones([2]);
      await pause();
      const b = a.add(1);
      await pause();
      return { sum: a.add(b) };
    });
    expect(result.sum.tolist()).toEqual([3, 3]);
    expect(grown()).toBe(1);
    result.sum.dispose();
    expect(grown()).toBe(0);
  });

  test('frees everything if it throws or rejects', async () => {
    const failing = tidy(async () => {
      ones([1]);
      await pause();
      ones([1]);
      throw new Error('late');
    });
    await expect(failing).rejects.toThrow('late');
    const early = tidy(async () => {
      ones([1]);
      throw new Error('early');
    });
    await expect(early).rejects.toThrow('early');
    expect(grown()).toBe(0);
  });

  test('two at once do not touch each other, nor what is made outside', async () => {
    let other: Tensor | undefined;
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const slow = tidy(async () => {
      other = ones([1]);
      await held;
      return other.add(1);
    });
    const outside = ones([1]);
    const quick = await tidy(async () => {
      const mine = ones([1]);
      await pause();
      return mine.add(2);
    });
    expect([other!.disposed, outside.disposed, quick.disposed]).toEqual([false, false, false]);
    release();
    const late = await slow;
    expect([other!.disposed, outside.disposed, quick.item(), late.item()]).toEqual([true, false, 3, 2]);
    for (const tensor of [outside, quick, late]) tensor.dispose();
    expect(grown()).toBe(0);
  });

  test('scopes nest: synchronous in asynchronous, and one asynchronous in another', async () => {
    let inner: Tensor | undefined;
    const result = await tidy(async () => {
      inner = tidy(() => ones([1]).add(1));
      await pause();
      expect(inner.disposed).toBe(false);
      const nested = await tidy(async () => {
        await pause();
        return tidy(() => ones([1]).add(2));
      });
      const kept = keep(ones([1]));
      await pause();
      return [nested.add(inner), kept];
    });
    expect(inner!.disposed).toBe(true);
    expect(result.map((tensor) => tensor.item())).toEqual([5, 1]);
    expect(grown()).toBe(2);
    for (const tensor of result) tensor.dispose();
    expect(grown()).toBe(0);
  });

  test('a synchronous scope around it does not wait for it', async () => {
    let running: Promise<Tensor> | undefined;
    tidy(() => {
      ones([1]);
      running = tidy(async () => {
        const a = ones([1]);
        await pause();
        return a.add(1);
      });
      ones([1]);
    });
    const result = await running!;
    expect(result.item()).toBe(2);
    result.dispose();
    expect(grown()).toBe(0);
  });

  test('what is not awaited and outlives it belongs to nobody but the garbage collector', async () => {
    let late: Tensor | undefined;
    let done: Promise<void> | undefined;
    await tidy(async () => {
      done = pause().then(() => {
        late = ones([1]);
      });
    });
    await done;
    expect(late!.disposed).toBe(false);
    late = undefined;
    await collect();
    expect(grown()).toBe(0);
  });

  test('modes end with their synchronous function, and hold for nobody else', async () => {
    const weight = ones([1]).requiresGrad_();
    await tidy(async () => {
      const plain = noGrad(() => weight.mul(2));
      await pause();
      expect([plain.requiresGrad, weight.mul(2).requiresGrad]).toEqual([false, true]);
      expect(() => noGrad(async () => weight)).toThrow('needs a synchronous function');
      expect(() => autocast('bfloat16', async () => weight)).toThrow('synchronous');
      expect(weight.mul(2).requiresGrad).toBe(true);
    });
    weight.dispose();
    expect(grown()).toBe(0);
  });

  test('whatever the order in which they wait, each frees its own and keeps its own', async () => {
    const scope = fc.record({ pauses: fc.array(fc.nat(3), { maxLength: 4 }), fails: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(scope, { minLength: 1, maxLength: 5 }), async (scopes) => {
        const before = liveTensors();
        const run = ({ pauses, fails }: (typeof scopes)[number], id: number) =>
          tidy(async () => {
            const seen = [full([1], id)];
            for (const turns of pauses) {
              for (let turn = 0; turn < turns; turn++) await Promise.resolve();
              seen.push(tidy(() => seen.at(-1)!.add(1)));
              expect(seen.map((tensor) => tensor.item())).toEqual(seen.map((_, i) => id + i));
            }
            if (fails) throw new Error('meant to');
            return seen.at(-1)!;
          });
        const settled = await Promise.allSettled(scopes.map(run));
        expect(settled.map(({ status }) => status)).toEqual(
          scopes.map(({ fails }) => (fails ? 'rejected' : 'fulfilled')),
        );
        expect(liveTensors() - before).toBe(scopes.filter(({ fails }) => !fails).length);
        for (const outcome of settled) if (outcome.status === 'fulfilled') outcome.value.dispose();
        expect(liveTensors()).toBe(before);
      }),
      { numRuns: 50 },
    );
  });

  test('a loop of them leaves nothing behind', async () => {
    for (let i = 0; i < 200; i++) {
      await tidy(async () => {
        const x = ones([8]);
        await Promise.resolve();
        return x.add(i).sum().item();
      });
    }
    expect(grown()).toBe(0);
  });
});

describe('keep', () => {
  test('takes a tensor out of all scopes around it', () => {
    let kept: Tensor | undefined;
    tidy(() =>
      tidy(() => {
        kept = keep(ones([1]));
        kept.add(1);
      }),
    );
    expect(grown()).toBe(1);
    expect(kept!.item()).toBe(1);
    kept!.dispose();
    expect(grown()).toBe(0);
  });

  test('survives an error, and being returned', () => {
    let kept: Tensor | undefined;
    expect(() =>
      tidy(() => {
        kept = keep(ones([1]));
        throw new Error('inside');
      }),
    ).toThrow('inside');
    expect(kept!.disposed).toBe(false);
    tidy(() => kept);
    tidy(() => tidy(() => kept));
    expect(kept!.disposed).toBe(false);
    kept!.dispose();
  });

  test('a tensor kept twice, or made outside, is freed once', async () => {
    // A second finalizer would free the handle again, which by then is another tensor's.
    (() => {
      const outside = ones([1]);
      tidy(() => keep(keep(outside)));
      tidy(() => keep(keep(ones([1]))));
      keep(outside);
    })();
    expect(grown()).toBe(2);
    gc();
    const others = Array.from({ length: 50 }, (_, i) => tensor([i]));
    await collect();
    expect(grown()).toBe(50);
    expect(others.map((x) => x.item())).toEqual(others.map((_, i) => i));
    for (const x of others) x.dispose();
  });

  test('refuses what is gone', () => {
    const gone = ones([1]);
    gone.dispose();
    expect(() => keep(gone)).toThrow(new TypeError('the tensor was disposed'));
    expect(() => keep(5 as never)).toThrow(TypeError);
  });
});

describe('dispose', () => {
  test('may be called twice, and inside a scope', () => {
    tidy(() => {
      const x = ones([1]);
      x.dispose();
      x.dispose();
      expect(x.disposed).toBe(true);
      expect(grown()).toBe(0);
      const y = ones([1]);
      expect(y.item()).toBe(1);
    });
    expect(grown()).toBe(0);
  });

  test('a disposed tensor that is returned stays disposed', () => {
    const x = tidy(() => {
      const made = ones([1]);
      made.dispose();
      return made;
    });
    const other = ones([1]);
    x.dispose();
    expect(other.item()).toBe(1);
    other.dispose();
  });

  test('memory that a view or a graph needs stays', () => {
    const base = randn([3], { requiresGrad: true });
    const view = base.detach().view([3, 1]);
    const loss = base.mul(base).sum();
    const values = view.toArray();
    base.dispose();
    loss.backward();
    expect(view.toArray()).toEqual(values);
    for (const x of [view, loss]) x.dispose();
  });

  test('`using` disposes at the end of the block, also of one that throws', () => {
    const block = () => {
      using a = ones([1]);
      using b = a.add(1);
      expect(b.item()).toBe(2);
      using generator = new Generator(1);
      generator.getState();
      throw new Error('inside');
    };
    expect(block).toThrow('inside');
    expect(grown()).toBe(0);
  });
});

describe('the garbage collector', () => {
  test('frees tensors that nobody refers to', async () => {
    const held = ones([1]);
    for (let i = 0; i < 200; i++) held.add(i);
    expect(grown()).toBe(201);
    await collect();
    expect(grown()).toBe(1);
    expect(held.item()).toBe(1);
    held.dispose();
  });

  test('frees tensors that left a scope', async () => {
    for (let i = 0; i < 100; i++) tidy(() => ones([1]).add(1));
    expect(grown()).toBe(100);
    await collect();
    expect(grown()).toBe(0);
  });

  test('knows how much memory hangs on them', async () => {
    // 4 GB in all; V8 sees only 1,000 objects of a few bytes.
    let most = 0;
    for (let i = 0; i < 1000; i++) {
      ops.empty([1 << 20], {});
      most = Math.max(most, grown());
      if (i % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(most).toBeLessThan(500);
  });

  test('leaves an array alone while a tensor lies over it', async () => {
    const shared = (() => fromTypedArray(new Float32Array(1000).fill(7), [1000]))();
    const view = shared.view([10, 100]);
    shared.dispose();
    await collect();
    for (let i = 0; i < 50; i++) new Float32Array(1000).fill(-1);
    expect(view.sum().item()).toBe(7000);
    view.dispose();
  });

  test('frees the array once no tensor does', async () => {
    const registry = new Set<string>();
    const finalizers = new FinalizationRegistry<string>((name) => registry.add(name));
    (() => {
      const array = new Float32Array(1000);
      finalizers.register(array, 'array');
      const shared = fromTypedArray(array, [1000]);
      tidy(() => shared.add(1));
      shared.dispose();
    })();
    // References are dropped at the next call.
    ones([1]).dispose();
    await collect();
    await collect();
    expect(registry.has('array')).toBe(true);
  });

  test('frees memory shared with an array after the array', async () => {
    const bytes = memory().bytes;
    const array = (() => {
      const x = ones([1000]);
      const shared = x.toSharedArray();
      x.dispose();
      return shared;
    })();
    await collect();
    expect(array[999]).toBe(1);
    expect(memory().bytes).toBe(bytes);
  });
});

describe('nothing leaks', () => {
  test('over 1,000 training steps', () => {
    const generator = new Generator(1);
    const model = new nn.Sequential(new nn.Linear(4, 8), new nn.GELU(), new nn.Linear(8, 3));
    const optimizer = new AdamW([...model.parameters()], { lr: 1e-2 });
    const step = () =>
      tidy(() => {
        const x = randn([5, 4], { generator });
        const loss = nn.crossEntropy(model.forward(x), randint(0, 3, [5], { generator }));
        loss.backward();
        optimizer.step();
        optimizer.zeroGrad();
        return loss.item();
      });
    step();
    const after = memory();
    for (let i = 0; i < 1000; i++) {
      step();
      if (i % 100 === 0) expect(memory()).toEqual(after);
    }
    expect(memory()).toEqual(after);
  });

  test('over 1,000 rounds of every way to read, share and fail', () => {
    const x = ones([4]);
    const round = () =>
      tidy(() => {
        x.tolist();
        x.to('float16').toArray();
        x.toSharedArray();
        String(x);
        fromTypedArray(new Float32Array(4), [4]).add(x);
        expect(() => x.matmul(ones([5]))).toThrow();
        expect(() => x.add('x' as never)).toThrow();
        expect(() => x.view([3])).toThrow();
        x.chunk(2);
        x.max(0);
        noGrad(() => ops.where(x.gt(0), x, 0));
      });
    round();
    const after = memory();
    for (let i = 0; i < 1000; i++) round();
    expect(memory()).toEqual(after);
    x.dispose();
  });

  test('the process itself stays the size it is', async () => {
    const work = () => {
      for (let i = 0; i < 500; i++) {
        tidy(() => {
          const x = randn([128, 128], { requiresGrad: true });
          x.matmul(x).sum().backward();
          expect(() => x.view([3])).toThrow();
        });
      }
    };
    work();
    await collect();
    const before = process.memoryUsage().rss;
    work();
    await collect();
    expect(process.memoryUsage().rss - before).toBeLessThan(16 << 20);
  });
});

test('threads of the process each have tensors of their own', async () => {
  const built = new URL('../dist/index.js', import.meta.url);
  expect(existsSync(built), 'the packages are built: run `npx tsc -b`').toBe(true);
  const source = `
    const { parentPort } = require('node:worker_threads');
    import(${JSON.stringify(built.href)}).then(({ ones, liveTensors, tidy }) => {
      const sum = tidy(() => ones([1000]).mul(2).sum().item());
      ones([3]);
      parentPort.postMessage([sum, liveTensors()]);
    });`;
  const mine = ones([1]);
  for (let i = 0; i < 3; i++) {
    const worker = new Worker(source, { eval: true });
    const answer = await new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    expect(answer).toEqual([2000, 1]);
    await worker.terminate();
  }
  expect(mine.add(1).item()).toBe(2);
});

describe('large blocks', () => {
  const setting = '/sys/kernel/mm/transparent_hugepage/enabled';
  const hugePages = existsSync(setting) && !readFileSync(setting, 'utf8').includes('[never]');

  test.runIf(hugePages)('are faulted in by huge pages, and not again once they were freed', () => {
    const side = 4096 + 3; // 67 MB and a part of a huge page: more than any test before has had at once
    const faults = (make: () => Tensor) => {
      const before = process.resourceUsage().minorPageFault;
      tidy(() => expect(make().min().item()).toBe(1));
      return process.resourceUsage().minorPageFault - before;
    };
    const ofSmallPages = (side * side * 4) / 4096;
    expect(faults(() => ones([side, side]))).toBeLessThan(ofSmallPages / 8);
    expect(faults(() => full([side, side], 1))).toBeLessThan(ofSmallPages / 8);
  });

  test('hold what was written to their ends, whatever their sizes', () => {
    const mebibyte = 2 ** 18; // values of float32
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 6 * mebibyte }), { maxLength: 6 }), (lengths) => {
        tidy(() => {
          const all = lengths.map((length, i) => full([length], i + 1));
          all.forEach((values, i) => {
            const ends = [0, lengths[i]! - 1].map((at) => values.narrow(0, at, 1).item());
            expect(ends).toEqual([i + 1, i + 1]);
            expect(
              values
                .sub(i + 1)
                .abs()
                .max()
                .item(),
            ).toBe(0);
          });
        });
      }),
      { numRuns: 40 },
    );
  });
});
