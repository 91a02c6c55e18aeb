// A saved model on a labelled split: its scores, and its predictions as files.

import {
  type ClassInfo,
  type DatasetFormat,
  detectFormat,
  isCityscapes,
  openDataset,
  type SegmentationDataset,
} from '@pgpc/datasets';
import { UsageError } from '../config/usage-error.js';
import { enterProcess, type ProcessOptions } from '../machine.js';
import { loadModel } from '../models/checkpoint.js';
import { type Evaluation, evaluateSegmentor, toLabelMap } from './evaluate.js';
import type { InferenceOptions } from './inference.js';
import { keepInputs } from './keep-inputs.js';
import { predictionFile, writePrediction } from './label-files.js';
import type { PredictionFormat } from './prediction-format.js';
import type { Protocol } from './protocols.js';

export interface EvaluateOptions extends ProcessOptions {
  /** Model file, or a checkpoint folder with one. */
  checkpoint: string;
  /** Root of the labelled images. */
  target: string;
  /** Left out: told from the folder. */
  format?: DatasetFormat | undefined;
  /** 'val' by default. */
  split?: string | undefined;
  /** How an image goes through the network; by default whole, as it is. */
  inference?: InferenceOptions | undefined;
  /** Classes of Cityscapes to average over, which the images must then have. */
  classes?: Protocol | undefined;
  /** Also boundary IoU. */
  boundary?: boolean | undefined;
  /** Folder for the predicted label maps, and what they hold; left out: none are written. */
  predictions?: { folder: string; format: PredictionFormat } | undefined;
  /** Told of every image that is done. */
  onImage?: ((done: number, total: number) => void) | undefined;
}

/** Scores are fractions 0..1, in the order of `classes`; NaN for a class that does not occur. */
export interface ModelEvaluation extends Evaluation {
  classes: readonly ClassInfo[];
  dataset: SegmentationDataset;
  /** Where it was computed: 'cpu', 'cuda:0', ... */
  device: string;
  seconds: number;
}

/**
 * @throws UsageError if `classes` are asked for of images that have others; DatasetError for images that cannot be read;
 *   Error for a file that is no model, or a model of another number of classes; the signal's reason once it is aborted.
 */
export async function evaluate(options: EvaluateOptions): Promise<ModelEvaluation> {
  const { checkpoint, target, split = 'val', inference, boundary, predictions, signal, onImage } = options;
  const device = enterProcess(options);
  using segmentor = loadModel(checkpoint).to({ device });
  const format = options.format ?? (await detectFormat(target));
  const dataset = await openDataset({ format, root: target, split });
  if (options.classes && !isCityscapes(dataset.classes)) {
    throw new UsageError(`--classes ${options.classes}: the classes of ${target} are not Cityscapes'`);
  }
  if (predictions) {
    await keepInputs(
      dataset.samples.flatMap(({ image, label }) => (label === undefined ? [image] : [image, label])),
      dataset.samples.map(({ id }) => predictionFile(predictions.folder, id)),
    );
  }
  const began = performance.now();
  const evaluation = await evaluateSegmentor(segmentor, dataset, {
    ...inference,
    boundary,
    signal,
    onImage: async (done, total, index, prediction) => {
      onImage?.(done, total);
      if (!predictions) return;
      const { id } = dataset.samples[index]!;
      const labels = toLabelMap(prediction);
      await writePrediction(predictions.folder, id, labels, dataset.classes, predictions.format);
    },
  });
  const seconds = (performance.now() - began) / 1000;
  return { ...evaluation, classes: dataset.classes, dataset, device, seconds };
}
