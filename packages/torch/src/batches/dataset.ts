// Data sets: items by number.

import { tensor } from '../factories.js';
import type { Generator } from '../generator.js';
import { ops } from '../ops.js';
import { type Tensor, tidy } from '../tensor.js';
import type { Collated } from './collate.js';

/** Items by number. What `get` makes is freed by the loader; what it holds on to from call to call needs `keep`. */
export interface Dataset<Item> {
  /** The number of items. */
  readonly length: number;
  /** The item of a number from 0 to length - 1. */
  get(index: number): Item | Promise<Item>;
  /** Several items at once, as `defaultCollate` would put them together: for data sets that can do so faster. */
  getBatch?(indices: readonly number[]): Collated<Item> | Promise<Collated<Item>>;
}

/** Rows of tensors that belong together, as images and their labels: item i has row i of each. */
export class TensorDataset<Tensors extends readonly Tensor[]> implements Dataset<Tensors> {
  readonly tensors: Tensors;

  /** @throws RangeError for tensors of different lengths, or none */
  constructor(...tensors: Tensors) {
    const lengths = new Set(tensors.map(({ shape }) => shape[0]));
    if (lengths.size !== 1 || lengths.has(undefined)) {
      const shapes = tensors.map(({ shape }) => `[${shape}]`).join(', ');
      throw new RangeError(`TensorDataset needs tensors of one length along the first axis, not ${shapes}.`);
    }
    this.tensors = tensors;
  }

  get length(): number {
    return this.tensors[0]!.shape[0]!;
  }

  get(index: number): Tensors {
    return this.tensors.map((values) => values.select(0, index)) as unknown as Tensors;
  }

  getBatch(indices: readonly number[]): Collated<Tensors> {
    const batch = tidy(() =>
      this.tensors.map((values) => {
        const rows = tensor([...indices], { dtype: 'int64', device: values.device });
        return values.indexSelect(0, rows);
      }),
    );
    return batch as Collated<Tensors>;
  }
}

/** Some items of a data set, in an order of its own. */
export class Subset<Item> implements Dataset<Item> {
  readonly dataset: Dataset<Item>;
  readonly indices: readonly number[];

  /** @throws RangeError for a number that is no item */
  constructor(dataset: Dataset<Item>, indices: readonly number[]) {
    const { length } = dataset;
    const wrong = indices.find((index) => !(Number.isSafeInteger(index) && index >= 0 && index < length));
    if (wrong !== undefined) {
      throw new RangeError(`Subset: there is no item ${wrong}; the data set has ${length}.`);
    }
    this.dataset = dataset;
    this.indices = [...indices];
  }

  get length(): number {
    return this.indices.length;
  }

  get(index: number): Item | Promise<Item> {
    return this.dataset.get(this.indices[index]!);
  }
}

/**
 * Parts of a data set, without common items, of the lengths given.
 * @param options.generator what draws the order; the global one by default
 * @throws RangeError unless the lengths add up to the data set's
 */
export function randomSplit<Item>(
  dataset: Dataset<Item>,
  lengths: readonly number[],
  { generator }: { generator?: Generator } = {},
): Subset<Item>[] {
  const total = lengths.reduce((sum, length) => sum + length, 0);
  if (total !== dataset.length) {
    throw new RangeError(`The lengths add up to ${total}, but the data set has ${dataset.length} items.`);
  }
  const order = randomOrder(total, generator);
  let start = 0;
  return lengths.map((length) => {
    const part = order.slice(start, start + length);
    start += length;
    return new Subset(dataset, part);
  });
}

/** The numbers below `length` in random order, as PyTorch's `randperm` draws them. */
export function randomOrder(length: number, generator: Generator | undefined): number[] {
  return tidy(() => Array.from(ops.randperm(length, { generator }).toArray(), Number));
}
