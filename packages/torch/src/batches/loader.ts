// Batches of a data set, in order or shuffled.

import { zeros } from '../factories.js';
import type { Generator } from '../generator.js';
import { madeHere, type Tensor, tidy } from '../tensor.js';
import { type Collated, defaultCollate } from './collate.js';
import { type Dataset, randomOrder } from './dataset.js';

export interface DataLoaderOptions<Item, Batch> {
  /** Items in a batch; 1 by default. */
  batchSize?: number;
  /** Whether each epoch is in a random order of its own. */
  shuffle?: boolean;
  /** What draws the orders, as PyTorch's loader does from the same seed; the global generator by default. */
  generator?: Generator;
  /** Whether a last batch that is not full is left out. */
  dropLast?: boolean;
  /** Items to a batch; {@link defaultCollate} by default. */
  collate?: (items: Item[]) => Batch | Promise<Batch>;
  /** Batches that are made ahead while the program works on one: for data sets whose `get` waits. 0 by default. */
  prefetch?: number;
  /** Whether batches live on after the next one is asked for, for the program to free. */
  keepBatches?: boolean;
}

/**
 * A data set in batches, once through for each `for await`:
 *
 * ```ts
 * const loader = new DataLoader(new TensorDataset(images, labels), { batchSize: 64, shuffle: true });
 * for await (const [x, y] of loader) tidy(() => trainStep(x, y));
 * ```
 *
 * A batch lives until the next one is asked for, or the loop is left: then the loader frees what was made for it, unless
 * `keepBatches` says otherwise. Tensors that the data set itself holds are never freed.
 */
export class DataLoader<Item, Batch = Collated<Item>> implements AsyncIterable<Batch> {
  readonly dataset: Dataset<Item>;
  readonly #options: DataLoaderOptions<Item, Batch>;
  readonly #batchSize: number;
  readonly #prefetch: number;

  /** @throws RangeError for an impossible batch size or number of batches ahead */
  constructor(dataset: Dataset<Item>, options: DataLoaderOptions<Item, Batch> = {}) {
    const { batchSize = 1, prefetch = 0 } = options;
    if (!(Number.isSafeInteger(batchSize) && batchSize > 0)) {
      throw new RangeError(`DataLoader's batchSize must be a whole number from 1, but is ${batchSize}.`);
    }
    if (!(Number.isSafeInteger(prefetch) && prefetch >= 0)) {
      throw new RangeError(`DataLoader's prefetch must be a whole number from 0, but is ${prefetch}.`);
    }
    this.dataset = dataset;
    this.#options = options;
    this.#batchSize = batchSize;
    this.#prefetch = prefetch;
  }

  /** The number of batches of an epoch. */
  get length(): number {
    const batches = this.dataset.length / this.#batchSize;
    return this.#options.dropLast ? Math.floor(batches) : Math.ceil(batches);
  }

  /** An epoch. Its order is drawn when the first batch is asked for. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Batch, void, undefined> {
    const order = this.#order();
    const { length } = this;
    const pending: Promise<Loaded<Batch>>[] = [];
    let next = 0;
    try {
      for (let at = 0; at < length; at++) {
        for (; next < length && next <= at + this.#prefetch; next++) {
          const loading = this.#load(order.slice(next * this.#batchSize, (next + 1) * this.#batchSize));
          // A failure ahead is thrown when its turn comes.
          loading.catch(() => {});
          pending.push(loading);
        }
        const { batch, made } = await pending.shift()!;
        try {
          yield batch;
        } finally {
          if (!this.#options.keepBatches) free(made);
        }
      }
      // PyTorch's sampler draws one more order at the end of an epoch, and uses nothing of it.
      if (this.#options.shuffle) randomOrder(this.dataset.length, this.#options.generator);
    } finally {
      // Nobody will ask for these.
      for (const ahead of await Promise.allSettled(pending)) {
        if (ahead.status === 'fulfilled') free(ahead.value.made);
      }
    }
  }

  #order(): number[] {
    const { shuffle = false, generator } = this.#options;
    const { length } = this.dataset;
    if (!shuffle) return Array.from({ length }, (_, index) => index);
    // PyTorch's loader draws a seed for its workers first.
    tidy(() => zeros([], { dtype: 'int64' }).random_({ generator }));
    return randomOrder(length, generator);
  }

  #load(indices: number[]): Promise<Loaded<Batch>> {
    const { collate } = this.#options;
    const { dataset } = this;
    return tidy(async () => {
      let batch: Batch;
      if (collate) {
        batch = await collate(await Promise.all(indices.map((index) => dataset.get(index))));
      } else if (dataset.getBatch) {
        batch = (await dataset.getBatch(indices)) as Batch;
      } else {
        batch = defaultCollate(await Promise.all(indices.map((index) => dataset.get(index)))) as Batch;
      }
      return { batch, made: madeHere(batch) };
    });
  }
}

/** A batch, and the tensors in it that were made for it. */
interface Loaded<Batch> {
  batch: Batch;
  made: Tensor[];
}

function free(made: readonly Tensor[]): void {
  for (const tensor of made) tensor.dispose();
}
