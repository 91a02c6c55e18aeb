// What a checkpoint reaches on a few of the target's labelled images, by names for a log.

import { type SegmentationDataset, type Size, withoutSamples } from '@pgpc/datasets';
import { type EvaluatedNetwork, evaluateSegmentor } from '../evaluation/evaluate.js';
import { spread } from '../evaluation/spread.js';

/** Validation images that a checkpoint is scored on during the training; all of them are at its end. */
const VALIDATED = 16;

/** A few evenly spread samples; all of them, where there are no more. */
export function someOf(dataset: SegmentationDataset): SegmentationDataset {
  const kept = new Set(spread(dataset.samples.length, VALIDATED));
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
  return { 'val/miou': scores.miou, ...iouByName('val/iou/', scores.iou, dataset.classes) };
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
