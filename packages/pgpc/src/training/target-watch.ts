// The same few target images through a training: what the student and its teacher make of them at each checkpoint.

import { type RgbImage, type SegmentationDataset, type Size, withoutSamples } from '@pgpc/datasets';
import { dims, fromTypedArray, type Tensor, tidy } from '@pgpc/torch';
import type { AdaptationStep } from '../adaptation/step.js';
import { evaluateSegmentor, toLabelMap } from '../evaluation/evaluate.js';
import { classify, predictLabels } from '../evaluation/inference.js';
import { inEvaluation } from '../evaluation/unlabelled.js';
import { STEPS_BETWEEN } from './checkpoint-clock.js';
import { openRun } from './run-directory/open-run.js';
import type { RunDirectory } from './run-directory/run-directory.js';
import type { PictureIndex } from './run-directory/schema.js';

/** Target images that are shown. */
const SHOWN = 4;
/** Validation images that a checkpoint is scored on during the training; all of them are at its end. */
const VALIDATED = 16;
/** Checkpoints that are shown at most. */
const KEPT = 6;

/** So many positions of `length`, evenly spread. */
function spread(length: number, n: number): number[] {
  const count = Math.min(n, length);
  return Array.from({ length: count }, (_, i) => Math.floor(((i + 0.5) * length) / count));
}

export interface WatchedTarget {
  /** The target's images, and its labelled ones where it has a validation split. */
  readonly target: SegmentationDataset;
  readonly validation: SegmentationDataset | undefined;
  /** Bounds within which images enter the network. */
  readonly size: Size | undefined;
}

/** Writes the pictures of a run's target images, and scores the student on a few validation images. */
export class TargetWatch {
  readonly #pending: Promise<void>[] = [];

  private constructor(
    readonly run: RunDirectory,
    readonly watched: WatchedTarget,
    readonly images: readonly RgbImage[],
    readonly truths: readonly (Uint8Array | undefined)[],
    readonly index: PictureIndex,
    readonly few: SegmentationDataset | undefined,
  ) {}

  /** Reads the images, and writes them with their labels; of a run that is resumed, what was written before stays. */
  static async open(run: RunDirectory, watched: WatchedTarget): Promise<TargetWatch> {
    const { target, validation } = watched;
    const shown = validation ?? target;
    const index: PictureIndex = openRun(run.path).pictures ?? { source: [], target: [] };
    const images: RgbImage[] = [];
    const truths: (Uint8Array | undefined)[] = [];
    for (const i of spread(shown.samples.length, SHOWN)) {
      const image = await shown.readImage(i);
      const label = validation && (await validation.readLabel(i));
      images.push(image);
      truths.push(label?.data);
      const [id, file, truth] = [shown.samples[i]!.id, `target-${i}.png`, label && `target-${i}-truth.png`];
      if (index.target.some((one) => one.image === file)) continue;
      await run.writePicture(file, image);
      if (label) await run.writeLabelPicture(truth!, label);
      index.target.push({ id, image: file, ...(truth && { truth }), predictions: {} });
    }
    run.writePictureIndex(index);
    return new TargetWatch(run, watched, images, truths, index, validation && someOf(validation));
  }

  /**
   * The student's prediction and where it is wrong, of a method with a teacher also its pseudo-label with its confidence; and the
   * student's scores on a few validation images. The networks are read before it returns.
   * @param iteration steps done. @returns for the log; nothing without a validation split.
   */
  async checkpoint(iteration: number, { student, parts }: AdaptationStep): Promise<Record<string, number>> {
    const { size } = this.watched;
    const teacher = parts.teacher?.network.segmentor;
    inEvaluation([student.segmentor, ...(teacher ? [teacher] : [])], () => {
      for (const [row, image] of this.images.entries()) {
        using prediction = predictLabels(student.segmentor, image, { size });
        this.#write(row, iteration, 'prediction', toLabelMap(prediction));
        const truth = this.truths[row];
        if (truth) {
          using right = rightness(prediction, truth);
          this.#writeGrey(row, iteration, 'right', right);
        }
        if (!teacher) continue;
        const [seen] = classify(teacher, [image], { size }, true);
        using labels = seen!.labels;
        using confidence = seen!.confidence!;
        this.#write(row, iteration, 'pseudo-label', toLabelMap(labels));
        this.#writeGrey(row, iteration, 'confidence', confidence);
      }
    });
    this.#thin(iteration);
    this.run.writePictureIndex(this.index);
    if (!this.few) return {};
    const { scores } = await evaluateSegmentor(student.segmentor, this.few, { size });
    return { 'val/miou': scores.miou };
  }

  /** Waits for the pictures. */
  async close(): Promise<void> {
    await Promise.all(this.#pending);
  }

  #write(
    row: number,
    iteration: number,
    kind: string,
    labels: Parameters<RunDirectory['writeLabelPicture']>[1],
  ): void {
    const file = this.#add(row, iteration, kind);
    this.#wait(this.run.writeLabelPicture(file, labels));
  }

  /** @param level (H, W), 0 .. 1: black to white. */
  #writeGrey(row: number, iteration: number, kind: string, level: Tensor): void {
    const [height, width] = dims(level, 2);
    using bytes = tidy(() =>
      level.mul(255).round().to('uint8').unsqueeze(2).expand([height, width, 3]).contiguous(),
    );
    const data = bytes.toArray() as Uint8Array;
    this.#wait(this.run.writePicture(this.#add(row, iteration, kind), { width, height, data }));
  }

  #wait(written: Promise<void>): void {
    // A failure is thrown where they are awaited.
    written.catch(() => {});
    this.#pending.push(written);
  }

  #add(row: number, iteration: number, kind: string): string {
    const sample = this.index.target[row]!;
    const file = sample.image.replace('.png', `-${iteration}-${kind}.png`);
    sample.checkpoints ??= [];
    let one = sample.checkpoints.find((checkpoint) => checkpoint.iteration === iteration);
    if (!one) {
      one = { iteration, pictures: {} };
      sample.checkpoints.push(one);
    }
    one.pictures[kind] = file;
    return file;
  }

  /** Gives up checkpoints until few enough are left, evenly spread, and the newest. */
  #thin(newest: number): void {
    let every = STEPS_BETWEEN;
    while (newest / every >= KEPT) every *= 2;
    for (const sample of this.index.target) {
      sample.checkpoints = sample.checkpoints?.filter(
        ({ iteration }) => iteration % every === 0 || iteration === newest,
      );
    }
  }
}

/** 1 where a prediction (H, W) is right or the label does not say, 0 where it is wrong; float32. */
function rightness(prediction: Tensor, truth: Uint8Array): Tensor {
  return tidy(() => {
    const label = fromTypedArray(truth, dims(prediction, 2)).to({ device: prediction.device });
    return prediction.eq(label).logicalOr(label.eq(255)).to('float32');
  });
}

/** A few evenly spread samples; all of them, where there are no more. */
function someOf(dataset: SegmentationDataset): SegmentationDataset {
  const kept = new Set(spread(dataset.samples.length, VALIDATED));
  const left = dataset.samples.flatMap((_, i) => (kept.has(i) ? [] : [i]));
  return left.length === 0 ? dataset : withoutSamples(dataset, new Set(left));
}
