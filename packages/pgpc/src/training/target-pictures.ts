// What a training makes of a few target images at one of its checkpoints, in picture files of its run.

import {
  type LabelMap,
  type RgbImage,
  type SegmentationDataset,
  type Size,
  scaledSize,
} from '@pgpc/datasets';
import { dims, fromTypedArray, type Tensor, tidy } from '@pgpc/torch';
import { contrastView } from '../adaptation/contrast-view.js';
import type { AdaptationStep } from '../adaptation/step.js';
import { toLabelMap } from '../evaluation/evaluate.js';
import { classify, networkDevice, networkInput, predictLabels } from '../evaluation/inference.js';
import { spread } from '../evaluation/spread.js';
import { inEvaluation } from '../evaluation/unlabelled.js';
import { maskGrid } from './run-directory/mask-grid.js';
import type { RunPictures } from './run-directory/pictures.js';

/** Target images that are shown. */
export const SHOWN = 4;

/** The places of a data set's images that are shown. */
export const shownOf = (dataset: SegmentationDataset): number[] => spread(dataset.samples.length, SHOWN);

/** A target image that is shown. */
export interface WatchedImage {
  readonly image: RgbImage;
  /** The trainIds of its pixels; undefined: it has no label. */
  readonly truth: Uint8Array | undefined;
  /** What the names of its pictures begin with. */
  readonly stem: string;
}

/** The files of an image's pictures by kind, as the index of a run's pictures has them. */
export type KindsOfPictures = Record<string, string>;

/**
 * Writes the student's prediction and where it is wrong, of a method with a teacher also its pseudo-label with its confidence,
 * and of one with contrast what that chooses from. The networks are read before it returns.
 * @param iteration steps done. @param size bounds within which images enter the network; undefined: as they are.
 * @returns the names of the files, of each image in order; `written` once they are there, and failed where one could not be.
 */
export function writeCheckpoint(
  run: RunPictures,
  images: readonly WatchedImage[],
  { iteration, step, size }: { iteration: number; step: AdaptationStep; size: Size | undefined },
): { pictures: KindsOfPictures[]; written: Promise<unknown> } {
  const { student, parts } = step;
  const teacher = parts.teacher?.network.segmentor;
  const files: Promise<void>[] = [];
  const write = (file: Promise<void>) => {
    // A failure is thrown where all of them are awaited.
    file.catch(() => {});
    files.push(file);
  };
  const picturesOf = ({ image, truth, stem }: WatchedImage): KindsOfPictures => {
    const pictures: KindsOfPictures = {};
    const named = (kind: string) => {
      const file = `${stem}-${iteration}-${kind}.png`;
      pictures[kind] = file;
      return file;
    };
    const classes = (kind: string, labels: Tensor) =>
      write(run.writeLabelPicture(named(kind), toLabelMap(labels)));
    const grey = (kind: string, level: Tensor) => write(run.writePicture(named(kind), greyOf(level)));
    using prediction = predictLabels(student.segmentor, image, { size });
    classes('prediction', prediction);
    if (truth) {
      using right = rightness(prediction, truth);
      grey('right', right);
    }
    if (!teacher) return pictures;
    const [seen] = classify(teacher, [image], { size }, true);
    using labels = seen!.labels;
    using confidence = seen!.confidence!;
    classes('pseudo-label', labels);
    grey('confidence', confidence);
    if (!parts.contrast) return pictures;
    using input = networkInput(image, scaledSize(image, size ?? image), networkDevice(teacher));
    const view = contrastView(step, input, iteration)!;
    using entropy = view.entropy;
    using anchors = view.anchors;
    using negatives = view.negatives;
    grey('entropy', entropy);
    if (anchors) classes('anchors', anchors);
    if (negatives) write(run.writeMaskPicture(named('negatives'), sideBySide(negatives)));
    return pictures;
  };
  const pictures = inEvaluation([student.segmentor, ...(teacher ? [teacher] : [])], () =>
    images.map(picturesOf),
  );
  return { pictures, written: Promise.all(files) };
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
