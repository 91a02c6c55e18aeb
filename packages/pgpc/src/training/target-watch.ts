// The same few target images through a training: what the student and its teacher make of them at each checkpoint.

import {
  type LabelMap,
  type RgbImage,
  type SegmentationDataset,
  type Size,
  scaledSize,
} from '@pgpc/datasets';
import { dims, fromTypedArray, type Tensor, tidy } from '@pgpc/torch';
import type { PixelContrast } from '../adaptation/contrast/contrast.js';
import { contrastView } from '../adaptation/contrast-view.js';
import type { AdaptationStep } from '../adaptation/step.js';
import { toLabelMap } from '../evaluation/evaluate.js';
import { classify, networkDevice, networkInput, predictLabels } from '../evaluation/inference.js';
import { spread } from '../evaluation/spread.js';
import { inEvaluation } from '../evaluation/unlabelled.js';
import { saveMemory, savePrototypes } from './contrast-record.js';
import { maskGrid } from './run-directory/mask-grid.js';
import { readPictureIndex } from './run-directory/open-run.js';
import type { RunDirectory } from './run-directory/run-directory.js';
import { type MethodResult, type PictureIndex, picturesIn } from './run-directory/schema.js';
import { someOf, validationScores } from './validation-scores.js';
import { keepWorst, type WorstImage } from './worst-images.js';

/** Target images that are shown. */
const SHOWN = 4;
/** Checkpoints that are shown at most. */
const KEPT = 6;

export interface WatchedTarget {
  /** The target's images, and its labelled ones where it has a validation split. */
  readonly target: SegmentationDataset;
  readonly validation: SegmentationDataset | undefined;
  /** Bounds within which images enter the network. */
  readonly size: Size | undefined;
  /** Steps between two checkpoints. */
  readonly every: number;
}

type Entry = PictureIndex['target'][number];

/** A target image that is shown, its label where it has one, and what the run's index says of it. */
interface Shown {
  readonly image: RgbImage;
  readonly truth: Uint8Array | undefined;
  readonly entry: Entry;
}

/** Writes the pictures of a run's target images, and scores the student on a few validation images. */
export class TargetWatch {
  readonly #pending: Promise<void>[] = [];

  private constructor(
    readonly run: RunDirectory,
    readonly watched: WatchedTarget,
    readonly shown: readonly Shown[],
    readonly index: PictureIndex,
    readonly few: SegmentationDataset | undefined,
  ) {}

  /** Reads the images, and writes them with their labels; of a run that is resumed, what was written before stays. */
  static async open(run: RunDirectory, watched: WatchedTarget): Promise<TargetWatch> {
    const { target, validation } = watched;
    const dataset = validation ?? target;
    const index: PictureIndex = readPictureIndex(run.path) ?? { source: [], target: [] };
    const shown: Shown[] = [];
    for (const i of spread(dataset.samples.length, SHOWN)) {
      const image = await dataset.readImage(i);
      const label = validation && (await validation.readLabel(i));
      const { id } = dataset.samples[i]!;
      let entry = index.target.find((one) => one.id === id);
      if (!entry) {
        const file = freeName(i, picturesIn(index));
        const truth = label && file.replace('.png', '-truth.png');
        entry = { id, image: file, ...(truth && { truth }), predictions: {} };
        await run.writePicture(file, image);
        if (label) await run.writeLabelPicture(truth!, label);
        index.target.push(entry);
      }
      shown.push({ image, truth: label?.data, entry });
    }
    run.writePictureIndex(index);
    await run.removeUnlistedPictures(index);
    return new TargetWatch(run, watched, shown, index, validation && someOf(validation));
  }

  /**
   * The student's prediction and where it is wrong, of a method with a teacher also its pseudo-label with its confidence, of one
   * with contrast also what that chooses from and what it has stored; and the student's scores on a few validation images. The
   * networks are read before it returns.
   * @param iteration steps done. @returns for the log; nothing without a validation split.
   */
  async checkpoint(iteration: number, step: AdaptationStep): Promise<Record<string, number>> {
    const { student, parts } = step;
    const { size } = this.watched;
    const teacher = parts.teacher?.network.segmentor;
    inEvaluation([student.segmentor, ...(teacher ? [teacher] : [])], () => {
      for (const { image, truth, entry } of this.shown) {
        const classes = (kind: string, labels: Tensor) =>
          this.#wait(this.run.writeLabelPicture(nameOf(entry, iteration, kind), toLabelMap(labels)));
        const grey = (kind: string, level: Tensor) =>
          this.#wait(this.run.writePicture(nameOf(entry, iteration, kind), greyOf(level)));
        using prediction = predictLabels(student.segmentor, image, { size });
        classes('prediction', prediction);
        if (truth) {
          using right = rightness(prediction, truth);
          grey('right', right);
        }
        if (!teacher) continue;
        const [seen] = classify(teacher, [image], { size }, true);
        using labels = seen!.labels;
        using confidence = seen!.confidence!;
        classes('pseudo-label', labels);
        grey('confidence', confidence);
        if (!parts.contrast) continue;
        using input = networkInput(image, scaledSize(image, size ?? image), networkDevice(teacher));
        const view = contrastView(step, input, iteration)!;
        using entropy = view.entropy;
        using anchors = view.anchors;
        using negatives = view.negatives;
        grey('entropy', entropy);
        if (anchors) classes('anchors', anchors);
        if (negatives) {
          const mask = sideBySide(negatives);
          this.#wait(this.run.writeMaskPicture(nameOf(entry, iteration, 'negatives'), mask));
        }
      }
    });
    const { every } = this.watched;
    if (parts.contrast) this.#record(iteration, parts.contrast);
    for (const { entry } of this.shown)
      entry.checkpoints = evenlySpread(entry.checkpoints!, iteration, every);
    this.run.writePictureIndex(this.index);
    // Once what is still being written is there, since it may be among what is shown no more.
    this.#wait(Promise.all(this.#pending).then(() => this.run.removeUnlistedPictures(this.index)));
    if (!this.few) return {};
    return validationScores(student.segmentor, this.few, size);
  }

  /** Keeps the images that a result is worst on. */
  async keepWorst(result: MethodResult, worst: readonly WorstImage[]): Promise<void> {
    await keepWorst(this.run, this.index, result, worst);
  }

  /** Waits for the pictures. */
  async close(): Promise<void> {
    await Promise.all(this.#pending);
  }

  /** The prototypes and what the banks hold, in files that the index names. */
  #record(iteration: number, contrast: PixelContrast): void {
    const prototypes = `prototypes-${iteration}.safetensors`;
    const memory = `memory-${iteration}.safetensors`;
    savePrototypes(this.run.picturePath(prototypes), contrast);
    saveMemory(this.run.picturePath(memory), contrast);
    const others = this.index.contrast?.checkpoints.filter((one) => one.iteration !== iteration) ?? [];
    const checkpoints = evenlySpread([...others, { iteration, prototypes }], iteration, this.watched.every);
    this.index.contrast = { checkpoints, memory };
  }

  #wait(written: Promise<void>): void {
    // A failure is thrown where they are awaited.
    written.catch(() => {});
    this.#pending.push(written);
  }
}

/** Roughly what the pictures of a run take: half a byte a pixel, of as many kinds as the most talkative method has. */
export async function picturesBytes(dataset: SegmentationDataset): Promise<number> {
  const KINDS = 7;
  const [first] = spread(dataset.samples.length, SHOWN);
  const { width, height } = await dataset.readImage(first!);
  return 0.5 * width * height * SHOWN * KEPT * KINDS;
}

/** A file for the picture of image `i`; of a run whose images are others now, another may have that name. */
function freeName(i: number, taken: ReadonlySet<string>): string {
  let n = i;
  while (taken.has(`target-${n}.png`)) n++;
  return `target-${n}.png`;
}

/** The file of a picture of a checkpoint, which the entry names from now on. */
function nameOf(entry: Entry, iteration: number, kind: string): string {
  const file = entry.image.replace('.png', `-${iteration}-${kind}.png`);
  entry.checkpoints ??= [];
  let one = entry.checkpoints.find((checkpoint) => checkpoint.iteration === iteration);
  if (!one) {
    one = { iteration, pictures: {} };
    entry.checkpoints.push(one);
  }
  one.pictures[kind] = file;
  return file;
}

/** Of these checkpoints as many as are shown: evenly spread ones, and the newest. */
function evenlySpread<T extends { iteration: number }>(
  checkpoints: readonly T[],
  newest: number,
  between: number,
): T[] {
  let every = between;
  while (newest / every >= KEPT) every *= 2;
  return checkpoints.filter(({ iteration }) => iteration % every === 0 || iteration === newest);
}

/** @param level (H, W), 0 .. 1: black to white. */
function greyOf(level: Tensor): RgbImage {
  const [height, width] = dims(level, 2);
  using bytes = tidy(() =>
    level.mul(255).round().to('uint8').unsqueeze(2).expand([height, width, 3]).contiguous(),
  );
  return { width, height, data: bytes.toArray() as Uint8Array };
}

/** Masks in one picture, row by row of {@link maskGrid}. @param masks (C, h, w), bool. @returns 255 where one is true. */
function sideBySide(masks: Tensor): LabelMap {
  const [classes, h, w] = dims(masks, 3);
  const { columns, rows } = maskGrid(classes);
  using bytes = tidy(() =>
    masks
      .to('uint8')
      .mul(255)
      .constantPadNd([0, 0, 0, 0, 0, columns * rows - classes], 0)
      .view([rows, columns, h, w])
      .transpose(1, 2)
      .contiguous(),
  );
  return { width: columns * w, height: rows * h, data: bytes.toArray() as Uint8Array };
}

/** 1 where a prediction (H, W) is right or the label does not say, 0 where it is wrong; float32. */
function rightness(prediction: Tensor, truth: Uint8Array): Tensor {
  return tidy(() => {
    const label = fromTypedArray(truth, dims(prediction, 2)).to({ device: prediction.device });
    return prediction.eq(label).logicalOr(label.eq(255)).to('float32');
  });
}
