// IoU and accuracy from a confusion matrix that is counted in tensors.

import { type Tensor, tidy } from '@pgpc/torch';
import { IGNORE_INDEX } from '../datasets/cityscapes-classes.js';

/**
 * Pixels by true and predicted class: (C, C), int64, rows are the truth; pixels labelled 255 do not count.
 * @param label (H, W), uint8. @param prediction (H, W), int64 in 0 .. C - 1.
 */
export function confusionMatrix(label: Tensor, prediction: Tensor, classes: number): Tensor {
  return tidy(() => {
    const known = label.ne(IGNORE_INDEX);
    const cell = label.to('int64').mul(classes).add(prediction).maskedSelect(known);
    return cell.bincount(null, classes * classes).view([classes, classes]);
  });
}

export interface Scores {
  /** Mean of the IoU of classes that occur in truth or prediction, 0 .. 1. */
  miou: number;
  /** TP / (TP + FP + FN) of every class; NaN for one that occurs in neither. */
  iou: number[];
  /** Share of labelled pixels that are right. */
  accuracy: number;
}

/** @param matrix (C, C): rows truth, columns prediction. */
export function scores(matrix: readonly (readonly number[])[]): Scores {
  const truth = matrix.map((row) => row.reduce((sum, n) => sum + n, 0));
  const predicted = matrix.map((_, c) => matrix.reduce((sum, row) => sum + row[c]!, 0));
  const iou = matrix.map((row, c) => row[c]! / (truth[c]! + predicted[c]! - row[c]!));
  const known = iou.filter((value) => !Number.isNaN(value));
  const right = matrix.reduce((sum, row, c) => sum + row[c]!, 0);
  return {
    miou: known.reduce((sum, value) => sum + value, 0) / known.length,
    iou,
    accuracy: right / truth.reduce((sum, n) => sum + n, 0),
  };
}
