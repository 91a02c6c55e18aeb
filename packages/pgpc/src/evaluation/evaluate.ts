// A network against a labelled split: scores by class, over all images together.

import type { LabelMap, SegmentationDataset } from '@pgpc/datasets';
import { dims, fromTypedArray, type Tensor, tidy, zeros } from '@pgpc/torch';
import { boundaryCounts } from './boundary.js';
import { confusionMatrix } from './confusion.js';
import {
  checkInference,
  type InferenceOptions,
  type Network,
  networkDevice,
  predictLabels,
} from './inference.js';
import { meanOfKnown, ratios, type Scores, scores } from './scores.js';

/** A prediction (H, W), uint8, as a label map for files and pictures. Waits for the device. */
export function toLabelMap(prediction: Tensor): LabelMap {
  const [height, width] = dims(prediction, 2);
  return { width, height, data: prediction.toArray() as Uint8Array };
}

/** A network whose mode and number of classes are known. */
export interface EvaluatedNetwork extends Network {
  readonly config: { readonly classes: number };
  readonly training: boolean;
  train(on?: boolean): unknown;
  eval(): unknown;
}

/** What an image was compared with, and what came of it; freed with the prediction. */
export interface CountedImage {
  /** (H, W), uint8: the truth, 255 where there is none. */
  readonly label: Tensor;
  /** (C, C), int64: the image's pixels by true (row) and predicted class. */
  readonly confusion: Tensor;
}

export interface EvaluateOptions extends InferenceOptions {
  readonly signal?: AbortSignal;
  /** Also boundary IoU. */
  readonly boundary?: boolean;
  /** Called after every image with its label map (H, W), uint8, on the network's device, freed afterwards. */
  readonly onImage?: (
    done: number,
    total: number,
    index: number,
    prediction: Tensor,
    counted: CountedImage,
  ) => void | Promise<void>;
}

export interface Evaluation {
  scores: Scores;
  /** Pixels by true (row) and predicted class. */
  confusion: number[][];
  /** Boundary IoU by class, intersections and unions summed over the images; NaN for a class without pixels. */
  boundary?: { miou: number; iou: number[] };
}

/**
 * Runs the network over all samples in evaluation mode, on its device, and counts pixels there, too. Then its mode is
 * restored.
 * @throws Error for unlabelled samples or another number of classes; RangeError for options that do not fit.
 */
export async function evaluateSegmentor(
  network: EvaluatedNetwork,
  dataset: SegmentationDataset,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  checkInference(options);
  const { classes } = network.config;
  if (dataset.classes.length !== classes) {
    throw new Error(
      `the network has ${classes} classes and ${dataset.root} has ${dataset.classes.length}: they must be the same; --classes FILE says which are, and pgpc data map proposes one`,
    );
  }
  const training = network.training;
  network.eval();
  const device = networkDevice(network);
  const confusion = zeros([classes, classes], { dtype: 'int64', device });
  /** Intersection, truth and prediction. */
  const edges = zeros([3, classes], { dtype: 'int64', device });
  try {
    for (const [i, sample] of dataset.samples.entries()) {
      options.signal?.throwIfAborted();
      if (!sample.label) throw new Error(`${sample.image} has no label to evaluate against`);
      const [image, { data, height, width }] = await Promise.all([
        dataset.readImage(i),
        dataset.readLabel(i),
      ]);
      using prediction = predictLabels(network, image, options);
      using label = tidy(() => fromTypedArray(data, [height, width]).to({ device, nonBlocking: true }));
      using counts = confusionMatrix(label, prediction, classes);
      confusion.add_(counts);
      tidy(() => {
        if (!options.boundary) return;
        const { intersection, truth, prediction: guess } = boundaryCounts(label, prediction, classes);
        for (const [row, counts] of [intersection, truth, guess].entries()) edges.select(0, row).add_(counts);
      });
      await options.onImage?.(i + 1, dataset.samples.length, i, prediction, { label, confusion: counts });
    }
    const matrix = confusion.tolist() as number[][];
    const evaluation: Evaluation = { scores: scores(matrix), confusion: matrix };
    if (options.boundary) {
      const [intersection, truth, guess] = edges.tolist() as [number[], number[], number[]];
      const iou = ratios(intersection, truth, guess);
      evaluation.boundary = { miou: meanOfKnown(iou), iou };
    }
    return evaluation;
  } finally {
    confusion.dispose();
    edges.dispose();
    network.train(training);
  }
}
