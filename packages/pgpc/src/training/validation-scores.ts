// What a checkpoint reaches on a few of the target's labelled images, by names for a log.

import { type SegmentationDataset, type Size, withoutSamples } from '@pgpc/datasets';
import { type CountedImage, type EvaluatedNetwork, evaluateSegmentor } from '../evaluation/evaluate.js';
import { type Scores, scores } from '../evaluation/scores.js';
import { spread } from '../evaluation/spread.js';

/** Validation images that a checkpoint is scored on during the training; all of them are at its end. */
const VALIDATED = 16;

const placesOfSome = (dataset: SegmentationDataset) => new Set(spread(dataset.samples.length, VALIDATED));

/** A few evenly spread samples; all of them, where there are no more. */
export function someOf(dataset: SegmentationDataset): SegmentationDataset {
  const kept = placesOfSome(dataset);
  const left = dataset.samples.flatMap((_, i) => (kept.has(i) ? [] : [i]));
  return left.length === 0 ? dataset : withoutSamples(dataset, new Set(left));
}

/**
 * `val/miou`, and `val/iou/NAME` of every class that is in the images' truth; fractions. The network's mode stays as it was.
 * @param size bounds within which images enter the network.
 */
export async function validationScores(
  network: EvaluatedNetwork,
  dataset: SegmentationDataset,
  size: Size | undefined,
): Promise<Record<string, number>> {
  const { scores } = await evaluateSegmentor(network, dataset, { size });
  return named(scores, dataset);
}

/** What {@link validationScores} gives of {@link someOf} a data set, from an evaluation of all of it. */
export class ScoresOfSome {
  readonly #places: ReadonlySet<number>;
  readonly #confusion: number[][];

  constructor(readonly dataset: SegmentationDataset) {
    this.#places = placesOfSome(dataset);
    this.#confusion = dataset.classes.map(() => dataset.classes.map(() => 0));
  }

  /** Takes what came of an image. @param index its place in the data set. */
  add(index: number, { confusion }: Pick<CountedImage, 'confusion'>): void {
    if (!this.#places.has(index)) return;
    for (const [is, row] of (confusion.tolist() as number[][]).entries()) {
      for (const [taken, count] of row.entries()) this.#confusion[is]![taken]! += count;
    }
  }

  values(): Record<string, number> {
    return named(scores(this.#confusion), this.dataset);
  }
}

function named(
  { miou, iou }: Pick<Scores, 'miou' | 'iou'>,
  { classes }: Pick<SegmentationDataset, 'classes'>,
): Record<string, number> {
  return { 'val/miou': miou, ...iouByName('val/iou/', iou, classes) };
}

/** The IoU of every class that has one, under its name. */
export function iouByName(
  prefix: string,
  iou: readonly number[],
  classes: readonly { readonly name: string }[],
): Record<string, number> {
  return Object.fromEntries(
    classes.flatMap(({ name }, i) => (Number.isNaN(iou[i]) ? [] : [[`${prefix}${name}`, iou[i]!]])),
  );
}
