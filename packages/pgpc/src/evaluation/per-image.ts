// Scores of single images, and the images that are worst.

import type { LabelMap, SegmentationDataset } from '@pgpc/datasets';
import type { Tensor } from '@pgpc/torch';
import { type CountedImage, toLabelMap } from './evaluate.js';
import { type Scores, scores } from './scores.js';

/** What one image reaches. */
export interface ImageScores extends Pick<Scores, 'miou' | 'iou' | 'accuracy'> {
  /** Of the sample. */
  readonly id: string;
  /** Paths of its files. */
  readonly image: string;
  readonly label: string;
  /** Pixels with a class in truth. */
  readonly pixels: number;
}

/** An image with the label maps that make its score. */
export interface ShownImage {
  readonly index: number;
  readonly scores: ImageScores;
  readonly truth: LabelMap;
  readonly prediction: LabelMap;
}

/**
 * Collects every image's scores, and keeps the label maps of the few worst: by mIoU over the classes that are
 * in the image's truth. Images without a labelled pixel have no score, and are none of the worst.
 */
export class PerImage {
  readonly images: ImageScores[] = [];
  #worst: ShownImage[] = [];

  /** @param keep how many are shown. */
  constructor(
    readonly dataset: SegmentationDataset,
    readonly keep: number,
  ) {}

  /** Waits for the device. */
  add(index: number, prediction: Tensor, { label, confusion }: CountedImage): void {
    const sample = this.dataset.samples[index]!;
    const matrix = confusion.tolist() as number[][];
    const { miou, iou, accuracy } = scores(matrix);
    const one: ImageScores = {
      id: sample.id,
      image: sample.image,
      label: sample.label!,
      miou,
      iou,
      accuracy,
      pixels: matrix.flat().reduce((sum, count) => sum + count, 0),
    };
    this.images.push(one);
    if (Number.isNaN(miou) || this.keep === 0) return;
    const last = this.#worst.at(-1);
    if (this.#worst.length === this.keep && last && miou >= last.scores.miou) return;
    const shown = { index, scores: one, truth: toLabelMap(label), prediction: toLabelMap(prediction) };
    this.#worst = [...this.#worst, shown].sort((a, b) => a.scores.miou - b.scores.miou).slice(0, this.keep);
  }

  /** The lowest mIoU first. */
  get worst(): readonly ShownImage[] {
    return this.#worst;
  }
}
