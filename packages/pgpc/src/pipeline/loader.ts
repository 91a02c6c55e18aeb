// Batches of random crops, decoded while the step before runs.

import type { Batch } from '../adaptation/step.js';
import { type CropOptions, drawWindow, imageBatch, labelBatch } from './crop.js';
import type { PixelStore } from './pixels.js';
import type { RareClassSampler } from './rare-class-sampling.js';
import { Rng } from './rng.js';

export interface LoaderOptions {
  source: PixelStore;
  /** Absent for methods that train on the source alone. */
  target?: PixelStore;
  /** Absent: source images are drawn uniformly. */
  rareClasses?: RareClassSampler;
  /** Source images a batch, and as many target images. */
  batch: number;
  crop: CropOptions;
  seed: number;
}

type RngState = ReturnType<Rng['getState']>;

/** Draws batches in an order that the seed alone decides. */
export class BatchLoader {
  readonly #rng: Rng;
  #ahead: { batch: Promise<Batch>; before: RngState } | undefined;

  constructor(readonly options: LoaderOptions) {
    this.#rng = new Rng(options.seed, 'data');
  }

  /** The next batch, whose tensors the caller disposes; the one after it is being decoded meanwhile. */
  async next(): Promise<Batch> {
    const batch = await (this.#ahead ?? this.#start()).batch;
    this.#ahead = this.#start();
    // Whoever asks for it gets the error; until then it must not count as unhandled.
    this.#ahead.batch.catch(() => {});
    return batch;
  }

  #start(): { batch: Promise<Batch>; before: RngState } {
    const before = this.#rng.getState();
    return { batch: this.#produce(), before };
  }

  async #produce(): Promise<Batch> {
    const { source, target, rareClasses, batch, crop } = this.options;
    const rng = this.#rng;
    const sources = [];
    for (let i = 0; i < batch; i++) {
      const drawn = rareClasses?.draw(rng);
      const pixels = await source.get(drawn?.image ?? rng.below(source.length));
      const wanted = drawn && {
        class: drawn.class,
        pixels: rareClasses!.options.minCropShare * crop.width * crop.height,
      };
      sources.push({ pixels, window: drawWindow(pixels, crop, rng, wanted) });
    }
    const targets = [];
    for (let i = 0; target && i < batch; i++) {
      const pixels = await target.get(rng.below(target.length));
      // The target's labels are not looked at, even where the files have them.
      const unlabelled = { image: pixels.image, label: undefined };
      targets.push({ pixels: unlabelled, window: drawWindow(unlabelled, crop, rng) });
    }
    const made: Batch = { sourceImage: imageBatch(sources, crop), sourceLabel: labelBatch(sources, crop) };
    if (target) made.targetImage = imageBatch(targets, crop);
    return made;
  }

  /** The state before the next batch to be handed out, for a checkpoint. */
  getState(): RngState {
    return this.#ahead?.before ?? this.#rng.getState();
  }

  /** Goes on as a loader of the same options that was in `state`. Only before the first `next`. */
  setState(state: RngState): void {
    this.#rng.setState(state);
  }

  /** Waits for the batch under way and frees it. */
  async dispose(): Promise<void> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    if (ahead) disposeBatch(await ahead.batch.catch(() => undefined));
  }
}

export function disposeBatch(batch: Batch | undefined): void {
  batch?.sourceImage.dispose();
  batch?.sourceLabel.dispose();
  batch?.targetImage?.dispose();
}
