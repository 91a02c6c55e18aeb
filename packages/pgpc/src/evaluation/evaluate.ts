// A segmentor against a labelled split: whole images, logits resized to the label's size, IoU by class.

import { noGrad, type Tensor, tidy, zeros } from '@pgpc/torch';
import type { LabelMap } from '../datasets/types.js';
import type { Segmentor } from '../models/segmentor.js';
import { wholeImage } from '../pipeline/crop.js';
import type { PixelStore, Pixels } from '../pipeline/pixels.js';
import { confusionMatrix, type Scores, scores } from './confusion.js';

/** The most likely class of every pixel: (H, W), int64. The segmentor should be in evaluation mode. */
export function predictLabels(segmentor: Segmentor, pixels: Pixels): Tensor {
  return tidy(() => noGrad(() => segmentor.predict(wholeImage(pixels)).argmax(1).squeeze(0)));
}

/** A prediction as a label map for files and pictures. */
export function toLabelMap(prediction: Tensor): LabelMap {
  const [height, width] = prediction.shape as [number, number];
  const data = tidy(() => prediction.to('uint8').toArray()) as Uint8Array;
  return { width, height, data };
}

export interface EvaluateOptions {
  signal?: AbortSignal;
  /** Called after every image. */
  onImage?: (done: number, total: number, index: number, prediction: Tensor) => void | Promise<void>;
}

/** Runs the network over all samples in evaluation mode; its mode is restored. @throws Error for unlabelled samples. */
export async function evaluateSegmentor(
  segmentor: Segmentor,
  pixels: PixelStore,
  options: EvaluateOptions = {},
): Promise<Scores> {
  const { classes } = segmentor.config;
  const training = segmentor.training;
  segmentor.eval();
  const total = zeros([classes, classes], { dtype: 'int64' });
  try {
    for (let i = 0; i < pixels.length; i++) {
      options.signal?.throwIfAborted();
      const sample = await pixels.get(i);
      if (!sample.label)
        throw new Error(`${pixels.dataset.samples[i]!.image} has no label to evaluate against`);
      const prediction = predictLabels(segmentor, sample);
      using matrix = confusionMatrix(sample.label, prediction, classes);
      total.add_(matrix);
      await options.onImage?.(i + 1, pixels.length, i, prediction);
      prediction.dispose();
    }
    return scores(total.tolist() as number[][]);
  } finally {
    total.dispose();
    segmentor.train(training);
  }
}
