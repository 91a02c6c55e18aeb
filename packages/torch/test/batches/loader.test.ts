// Data sets and loaders: what batches hold, their order against PyTorch's, and who frees them.

import fc from 'fast-check';
import { describe, expect, expectTypeOf, test } from 'vitest';
import {
  arange,
  DataLoader,
  type Dataset,
  defaultCollate,
  Generator,
  keep,
  liveTensors,
  manualSeed,
  ones,
  randn,
  randomSplit,
  Subset,
  type Tensor,
  TensorDataset,
  tensor,
  tidy,
} from '../../src/index.js';
import { readReference } from '../support/reference.js';

const reference = readReference<{ loader: { seed: number; dropLast: boolean; epochs: number[][][] }[] }>(
  'library.json',
);

const numbers = (length: number): Dataset<number> => ({ length, get: (index) => index });

async function epoch<Batch>(
  loader: AsyncIterable<Batch>,
  read: (batch: Batch) => unknown,
): Promise<unknown[]> {
  const values: unknown[] = [];
  for await (const batch of loader) values.push(read(batch));
  return values;
}

const list = (batch: Tensor) => batch.tolist();

describe('order', () => {
  test.each(reference.loader)('from seed $seed it is that of PyTorch', async ({ seed, dropLast, epochs }) => {
    const generator = new Generator(seed);
    const data = new TensorDataset(arange(10));
    const loader = new DataLoader(data, { batchSize: 3, shuffle: true, dropLast, generator });
    for (const wanted of epochs) expect(await epoch(loader, ([x]) => x.tolist())).toEqual(wanted);
  });

  test('every item comes once in an epoch, whatever the sizes, ahead or not', async () => {
    const settings = fc.record({
      length: fc.integer({ min: 0, max: 30 }),
      batchSize: fc.integer({ min: 1, max: 12 }),
      shuffle: fc.boolean(),
      dropLast: fc.boolean(),
      prefetch: fc.integer({ min: 0, max: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(settings, async ({ length, ...options }) => {
        const loader = new DataLoader(numbers(length), options);
        const batches = (await epoch(loader, list)) as number[][];
        expect(batches).toHaveLength(loader.length);
        const seen = batches.flat();
        expect(new Set(seen).size).toBe(seen.length);
        expect(seen.length).toBe(options.dropLast ? length - (length % options.batchSize) : length);
        if (!options.shuffle) expect(seen).toEqual(seen.map((_, index) => index));
        expect(batches.slice(0, -1).every((batch) => batch.length === options.batchSize)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  test('without a generator the global one draws, anew for each epoch', async () => {
    const loader = new DataLoader(numbers(20), { batchSize: 20, shuffle: true });
    manualSeed(4);
    const [first, second] = [await epoch(loader, list), await epoch(loader, list)];
    expect(second).not.toEqual(first);
    manualSeed(4);
    expect(await epoch(loader, list)).toEqual(first);
  });
});

describe('batches', () => {
  test('rows of several tensors stay together, and are the stacked items', async () => {
    const data = new TensorDataset(randn([7, 2, 3]), arange(7));
    const loader = new DataLoader(data, { batchSize: 3, shuffle: true, generator: new Generator(1) });
    for await (const [x, y] of loader) {
      expectTypeOf(x).toEqualTypeOf<Tensor>();
      const rows = (y.tolist() as number[]).map((index) => data.get(index)[0].tolist());
      expect(x.tolist()).toEqual(rows);
      expect(y.dtype).toBe('int64');
    }
  });

  test('members of items are put together by their kind', () => {
    const items = [1, 2].map((i) => ({
      image: ones([2]),
      pair: [i / 2, BigInt(i)] as [number, bigint],
      name: `item ${i}`,
      good: i > 1,
      row: Float64Array.of(i, 2 * i),
    }));
    const batch = defaultCollate(items);
    expectTypeOf(batch.pair).toEqualTypeOf<[Tensor, Tensor]>();
    expectTypeOf(batch.name).toEqualTypeOf<string[]>();
    expect(batch.image.shape).toEqual([2, 2]);
    expect(batch.pair.map((member) => [member.dtype, member.tolist()])).toEqual([
      ['float32', [0.5, 1]],
      ['int64', [1, 2]],
    ]);
    expect(batch.name).toEqual(['item 1', 'item 2']);
    expect(batch.good.tolist()).toEqual([false, true]);
    expect([batch.row.dtype, batch.row.tolist()]).toEqual([
      'float64',
      [
        [1, 2],
        [2, 4],
      ],
    ]);
  });

  test('items that do not fit together are refused by the place where they do not', () => {
    expect(() => defaultCollate<unknown>([{ a: 1 }, { a: 'x' }])).toThrow(
      'item.a: there is no way to put number, string',
    );
    expect(() => defaultCollate<unknown>([[1], [1, 2]])).toThrow('item: arrays of different lengths');
    expect(() => defaultCollate([new Date()])).toThrow('Date');
    expect(() => defaultCollate([ones([1]), ones([2])])).toThrow('stack');
    expect(() => new TensorDataset(ones([2]), ones([3]))).toThrow('[2], [3]');
  });

  test('a collate of its own gets the items in their order, also from a data set that waits', async () => {
    const slow: Dataset<number> = {
      length: 6,
      get: async (index) => {
        await new Promise((resolve) => setTimeout(resolve, 6 - index));
        return index;
      },
    };
    const loader = new DataLoader(slow, { batchSize: 4, prefetch: 2, collate: (items) => items.join('-') });
    expect(await epoch(loader, (batch) => batch)).toEqual(['0-1-2-3', '4-5']);
  });

  test('parts of a data set have no item in common', async () => {
    const parts = randomSplit(numbers(9), [6, 3], { generator: new Generator(2) });
    const seen = await Promise.all(parts.map((part) => epoch(new DataLoader(part), list)));
    expect(seen.map((part) => part.length)).toEqual([6, 3]);
    expect(new Set(seen.flat(2)).size).toBe(9);
    expect(() => randomSplit(numbers(9), [6, 4])).toThrow('add up to 10');
    expect(() => new Subset(numbers(2), [2])).toThrow('no item 2');
  });

  test('an error of an item is thrown when its batch is asked for', async () => {
    const faulty: Dataset<number> = {
      length: 4,
      get: (index) => {
        if (index === 3) throw new Error('item 3 is broken');
        return index;
      },
    };
    const seen: unknown[] = [];
    const run = async () => {
      for await (const batch of new DataLoader(faulty, { prefetch: 3 })) seen.push(batch.tolist());
    };
    const before = liveTensors();
    await expect(run()).rejects.toThrow('item 3 is broken');
    expect(seen).toEqual([[0], [1], [2]]);
    expect(liveTensors()).toBe(before);
  });

  test('impossible sizes are refused', () => {
    expect(() => new DataLoader(numbers(3), { batchSize: 0 })).toThrow('batchSize');
    expect(() => new DataLoader(numbers(3), { prefetch: -1 })).toThrow('prefetch');
  });
});

describe('memory', () => {
  const data = () => ({
    length: 8,
    get: (index: number) => [tidy(() => ones([3]).mul(index)), index] as const,
  });

  test.each([0, 3])('a batch is freed when the next one is asked for, %d ahead', async (prefetch) => {
    const before = liveTensors();
    const seen: Tensor[] = [];
    for await (const [x] of new DataLoader(data(), { batchSize: 2, prefetch })) {
      expect(x.disposed).toBe(false);
      expect(seen.every((earlier) => earlier.disposed)).toBe(true);
      seen.push(x);
    }
    expect(seen).toHaveLength(4);
    expect(liveTensors()).toBe(before);
  });

  test('leaving the loop frees its batch and those made ahead', async () => {
    const before = liveTensors();
    for await (const [x] of new DataLoader(data(), { batchSize: 2, prefetch: 2 })) {
      expect(x.shape).toEqual([2, 3]);
      break;
    }
    expect(liveTensors()).toBe(before);
  });

  test('keepBatches leaves them to the program', async () => {
    const before = liveTensors();
    const kept: Tensor[] = [];
    for await (const [x, y] of new DataLoader(data(), { batchSize: 4, keepBatches: true })) kept.push(x, y);
    expect(kept.map((value) => value.disposed)).toEqual([false, false, false, false]);
    for (const value of kept) value.dispose();
    expect(liveTensors()).toBe(before);
  });

  test('tensors that the data set holds are not freed, also where a batch is one of them', async () => {
    const held = [0, 1].map((value) => keep(tensor([value])));
    const holding: Dataset<Tensor> = { length: 2, get: (index) => held[index]! };
    const loader = new DataLoader(holding, { collate: ([item]) => item! });
    expect(await epoch(loader, list)).toEqual([[0], [1]]);
    expect(held.some((value) => value.disposed)).toBe(false);
  });
});
