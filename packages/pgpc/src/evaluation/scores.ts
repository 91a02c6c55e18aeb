// Scores from counts of pixels.

export interface Scores {
  /** Mean of the IoU of the classes that have pixels, 0 .. 1. */
  miou: number;
  /** TP / (TP + FP + FN) of every class; NaN for one without pixels, be it predicted or not. */
  iou: number[];
  /** Share of labelled pixels that are right. */
  accuracy: number;
  /** Share of a class's pixels that are right, TP / (TP + FN); NaN for one without pixels. */
  classAccuracy: number[];
  /** Mean of `classAccuracy` over the classes that have pixels. */
  meanAccuracy: number;
  /** IoU weighted by the class's share of the labelled pixels. */
  frequencyWeightedIou: number;
}

/** The mean over the values that are numbers; NaN where there is none. */
export function meanOfKnown(values: readonly number[]): number {
  const known = values.filter((value) => !Number.isNaN(value));
  return sum(known) / known.length;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** |A and B| / |A or B| of every class; NaN where there is nothing in truth, so that no mean counts it. */
export function ratios(
  both: readonly number[],
  truth: readonly number[],
  predicted: readonly number[],
): number[] {
  return both.map((n, c) => (truth[c]! > 0 ? n / (truth[c]! + predicted[c]! - n) : Number.NaN));
}

/** @param matrix (C, C): rows truth, columns prediction. */
export function scores(matrix: readonly (readonly number[])[]): Scores {
  const truth = matrix.map(sum);
  const predicted = matrix.map((_, c) => sum(matrix.map((row) => row[c]!)));
  const right = matrix.map((row, c) => row[c]!);
  const iou = ratios(right, truth, predicted);
  const classAccuracy = right.map((n, c) => n / truth[c]!);
  const labelled = sum(truth);
  return {
    miou: meanOfKnown(iou),
    iou,
    accuracy: sum(right) / labelled,
    classAccuracy,
    meanAccuracy: meanOfKnown(classAccuracy),
    frequencyWeightedIou: sum(iou.map((value, c) => (truth[c] ? value * truth[c]! : 0))) / labelled,
  };
}
