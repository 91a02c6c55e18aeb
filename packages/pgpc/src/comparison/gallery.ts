// The pictures of a comparison: source and target, and what every method predicts on the target.

import type { SegmentationDataset } from '@pgpc/datasets';
import { asTrained } from '../evaluation/as-trained.js';
import { toLabelMap } from '../evaluation/evaluate.js';
import { predictLabels } from '../evaluation/inference.js';
import { spread } from '../evaluation/spread.js';
import { loadModel } from '../models/checkpoint.js';
import type { RunDirectory } from '../training/run-directory/run-directory.js';
import type { MethodResult, PictureIndex } from '../training/run-directory/schema.js';
import { type KindsOfPictures, shownOf } from '../training/target-pictures.js';
import { keepWorst, type WorstImage } from '../training/worst-images.js';

/** The files of a method's pictures at one of its checkpoints. */
interface WrittenCheckpoint {
  readonly method: string;
  /** Undefined: the run has one. */
  readonly seed: number | undefined;
  readonly iteration: number;
  readonly images: readonly { readonly id: string; readonly pictures: KindsOfPictures }[];
}

/** Source images that are shown. */
const SOURCE_SHOWN = 3;

/** Pictures of source and target, to which every method adds its predictions. */
export class Gallery {
  readonly #index: PictureIndex = { source: [], target: [] };
  readonly #shown: number[];

  constructor(
    readonly run: RunDirectory,
    /** `labelled`: whether the target's images have labels to show beside what is predicted. */
    readonly data: { source: SegmentationDataset; target: SegmentationDataset; labelled: boolean },
  ) {
    this.#shown = shownOf(data.target);
  }

  /** Roughly what the pictures take, with predictions of so many methods: half a byte a pixel, and in the report again. */
  async bytes(methods: number): Promise<number> {
    const { target } = this.data;
    const { width, height } = await target.readImage(this.#shown[0]!);
    const samples = 2 * (SOURCE_SHOWN + this.#shown.length);
    return width * height * (samples + methods * this.#shown.length);
  }

  async writeSamples(): Promise<void> {
    const { source, target, labelled } = this.data;
    for (const i of spread(source.samples.length, SOURCE_SHOWN)) {
      const files = { image: `source-${i}.png`, label: `source-${i}-label.png` };
      await this.run.writePicture(files.image, await source.readImage(i));
      await this.run.writeLabelPicture(files.label, await source.readLabel(i));
      this.#index.source.push(files);
    }
    for (const i of this.#shown) {
      const image = `target-${i}.png`;
      await this.run.writePicture(image, await target.readImage(i));
      const truth = labelled ? `target-${i}-truth.png` : undefined;
      if (truth) await this.run.writeLabelPicture(truth, await target.readLabel(i));
      this.#index.target.push({ id: target.samples[i]!.id, image, ...(truth && { truth }), predictions: {} });
    }
    this.run.writePictureIndex(this.#index);
  }

  /** Names what a method, on its way, has made of the images and written. */
  addCheckpoint({ method, seed, iteration, images }: WrittenCheckpoint): void {
    for (const { id, pictures } of images) {
      const entry = this.#index.target.find((one) => one.id === id)!;
      const before = entry.checkpoints ?? [];
      const own = before.filter((one) => one.method === method);
      const others = before.filter((one) => one.method !== method);
      const added = { method, ...(seed !== undefined && { seed }), iteration, pictures };
      entry.checkpoints = [...others, ...own, added];
    }
    this.run.writePictureIndex(this.#index);
  }

  /** Keeps the images that a result is worst on, of the run's first seed. */
  async keepWorst(result: MethodResult, worst: readonly WorstImage[]): Promise<void> {
    const kept = this.#index.worst?.find(({ method }) => method === result.name);
    if (!kept) await keepWorst(this.run, this.#index, result, worst);
  }

  /** @param checkpoint folder of the method's checkpoint. */
  async writePredictions(method: string, checkpoint: string): Promise<void> {
    using segmentor = loadModel(checkpoint).eval();
    const { inference } = asTrained(segmentor);
    for (const [row, i] of this.#shown.entries()) {
      const image = await this.data.target.readImage(i);
      using prediction = predictLabels(segmentor, image, inference);
      const file = `target-${i}-${method}.png`;
      await this.run.writeLabelPicture(file, toLabelMap(prediction));
      this.#index.target[row]!.predictions[method] = file;
    }
    this.run.writePictureIndex(this.#index);
  }
}
