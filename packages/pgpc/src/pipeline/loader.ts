// Batches of random crops, decoded by threads while the steps before run.

import type { Sample } from '@pgpc/datasets';
import type { ImageMargins } from '../config/self-training.js';
import { Rng, type RngState } from '../random.js';
import type { Batch } from './batch.js';
import { ComingBatch } from './crop.js';
import { DecodePool } from './decode-pool.js';
import type { PixelStore } from './pixels.js';
import type { RareClassSampler } from './rare-class-sampling.js';
import type { Crop } from './sample.js';
import type { CropOptions, Wanted } from './window.js';

export interface LoaderOptions {
  source: PixelStore;
  /** Absent for methods that train on the source alone. */
  target?: PixelStore;
  /** Absent: source images are drawn uniformly. */
  rareClasses?: RareClassSampler;
  /** Source images that are decoded a batch, and as many target images. */
  batch: number;
  crop: CropOptions;
  /** Of the target's images, see `imageMargins` of self-training; by default none. */
  margins?: ImageMargins | undefined;
  seed: number;
  /** Threads that decode, see {@link DecodePool}. */
  workers?: number;
  /** Decodes instead of `workers` threads of the loader's own, and stays when the loader is disposed. */
  pool?: DecodePool;
  /** Which of equal parts of the batch to decode; all parts are drawn, so that all are of one order. */
  part?: { rank: number; size: number };
  /** Where batches are wanted: the CPU, or a GPU. Copies to a GPU run while it works on the batches before. */
  device?: string;
  /** Batches to decode ahead of the one that was handed out; by default enough to keep the threads busy. */
  ahead?: number;
}

/** The samples of a batch, of all its parts. */
export interface DrawnSamples {
  source: readonly Sample[];
  target: readonly Sample[] | undefined;
}

interface PendingBatch {
  batch: Promise<ComingBatch>;
  drawn: DrawnSamples;
  /** The state from which it was drawn. */
  before: RngState;
}

/** Draws batches in an order that the seed alone decides, whatever the number of threads. */
export class BatchLoader {
  readonly #rng: Rng;
  readonly #pool: DecodePool;
  readonly #ahead: number;
  readonly #pending: PendingBatch[] = [];
  /** What the batch that was handed out last is of. */
  drawn: DrawnSamples | undefined;

  constructor(readonly options: LoaderOptions) {
    const { batch, target, seed, workers, pool = new DecodePool({ workers }) } = options;
    this.#rng = new Rng(seed, 'data');
    this.#pool = pool;
    this.#ahead = options.ahead ?? 1 + Math.ceil(pool.workers / (target ? 2 * batch : batch));
  }

  /**
   * The next batch, whose tensors the caller disposes; those after it are being decoded meanwhile.
   * @throws DatasetError that names the file, if one of its files does not decode.
   */
  async next(): Promise<Batch> {
    if (this.#pending.length === 0) this.#start();
    const batch = await this.#pending[0]!.batch;
    this.drawn = this.#pending.shift()!.drawn;
    while (this.#pending.length < this.#ahead) this.#start();
    return batch.take();
  }

  /** Draws a batch, all at once so that no thread's pace matters, and sets the threads to it. */
  #start(): void {
    const before = this.#rng.getState();
    const { source, target, rareClasses, batch, crop, part = { rank: 0, size: 1 } } = this.options;
    const rng = this.#rng;
    const places = Array.from({ length: batch * part.size }, (_, place) => place);
    const own = (place: number) => Math.floor(place / batch) === part.rank;
    const samples = { source: [] as Sample[], target: target && ([] as Sample[]) };
    const draw = (store: PixelStore, labelled: boolean, place: number, index: number, wanted?: Wanted) => {
      const state = rng.fork();
      samples[labelled ? 'source' : 'target']!.push(store.dataset.samples[index]!);
      return own(place) ? [store.crop(index, { crop, labelled, wanted, rng: state }, this.#pool)] : [];
    };
    const sources = places.flatMap((place) => {
      const rare = rareClasses?.draw(rng);
      const wanted = rare && {
        class: rare.class,
        pixels: rareClasses!.options.minCropShare * crop.width * crop.height,
      };
      return draw(source, true, place, rare?.image ?? rng.below(source.length), wanted);
    });
    const targets = target && places.flatMap((place) => draw(target, false, place, rng.below(target.length)));
    const made = this.#assemble(sources, targets);
    // Whoever asks for it gets the error; until then it must not count as unhandled.
    made.catch(() => {});
    this.#pending.push({ batch: made, drawn: samples, before });
  }

  async #assemble(sources: Promise<Crop>[], targets: Promise<Crop>[] | undefined): Promise<ComingBatch> {
    const { crop, margins, device = 'cpu' } = this.options;
    const [source, target] = await Promise.all([Promise.all(sources), targets && Promise.all(targets)]);
    return new ComingBatch(source, target, crop, device, margins);
  }

  /** The state before the next batch to be handed out, for a checkpoint. */
  getState(): RngState {
    return this.#pending[0]?.before ?? this.#rng.getState();
  }

  /** Resumes from the `state` of a loader with the same options. Only before the first `next`. */
  setState(state: RngState): void {
    this.#rng.setState(state);
  }

  /** Decoding threads that ended of themselves, see {@link DecodePool}. */
  get lostThreads(): DecodePool['lost'] {
    return this.#pool.lost;
  }

  /** Waits for the batches under way, frees them and ends the threads. */
  async dispose(): Promise<void> {
    for (const { batch } of this.#pending.splice(0)) (await batch.catch(() => undefined))?.dispose();
    if (!this.options.pool) await this.#pool.dispose();
  }
}
