// What `pgpc eval` shows and writes of an evaluation.

import { isCityscapes } from '@pgpc/datasets';
import type { ModelEvaluation } from '../../evaluation/evaluate-model.js';
import { CITYSCAPES_PROTOCOLS, type Protocol, protocolMiou } from '../../evaluation/protocols.js';
import { meanOfKnown } from '../../evaluation/scores.js';
import { describeDevice, versions } from '../../machine.js';
import { percent } from '../../report/format.js';
import { imagesOf } from './per-image.js';
import { textTable } from './table.js';

export { evaluate } from '../../evaluation/evaluate-model.js';
export { useCores } from '../../machine.js';
export { classesTable } from './classes.js';

/**
 * Scores by class, their means over the shown classes that have pixels, and what is counted over all pixels, in percent.
 * Classes without pixels are named below the table.
 */
export function evaluationTable(
  { scores, boundary, classes }: ModelEvaluation,
  protocol: Protocol | undefined,
): string {
  const shown = protocol ? CITYSCAPES_PROTOCOLS[protocol].map((trainId) => classes[trainId]!) : classes;
  const columns = [scores.iou, scores.classAccuracy, ...(boundary ? [boundary.iou] : [])];
  const rows = shown.map(({ name, trainId }) => [
    name,
    ...columns.map((column) => percent(column[trainId]!)),
  ]);
  const means = columns.map((column) => percent(meanOfKnown(shown.map(({ trainId }) => column[trainId]!))));
  const missing = shown.filter(({ trainId }) => Number.isNaN(scores.iou[trainId]));
  const averaged = shown.length - missing.length;
  const table = textTable(
    ['%', 'IoU', 'accuracy', ...(boundary ? ['boundary IoU'] : [])],
    [
      ...rows,
      [
        averaged === shown.length ? `mean of ${averaged}` : `mean of ${averaged} of ${shown.length}`,
        ...means,
      ],
      ['all pixels', percent(scores.frequencyWeightedIou), percent(scores.accuracy)],
    ],
  );
  return `${table}${missing.length > 0 ? `without a pixel in the data, left out of the mean: ${names(missing)}\n` : ''}`;
}

function names(classes: readonly { readonly name: string }[]): string {
  return classes.map(({ name }) => name).join(', ');
}

/** What `--json` writes; a number that does not exist is null. */
export function resultsOf(evaluation: ModelEvaluation, checkpoint: string) {
  const { scores, confusion, boundary, classes, dataset, brought, inference, seconds, device } = evaluation;
  const { name, root, split, samples } = dataset;
  const protocols = Object.keys(CITYSCAPES_PROTOCOLS).map((count) => Number(count) as Protocol);
  return {
    checkpoint,
    dataset: { name, root, split, images: samples.length },
    inference,
    miou: scores.miou,
    ...(brought && {
      dataClasses: brought.from.map(({ name, values, trainId, pixels }) => ({
        name,
        values,
        class: classes[trainId]?.name ?? null,
        pixels,
      })),
    }),
    averaged: classes.filter((_, i) => !Number.isNaN(scores.iou[i])).map((info) => info.name),
    ...(isCityscapes(classes) && {
      miouOverClasses: Object.fromEntries(
        protocols.map((protocol) => [protocol, protocolMiou(scores.iou, protocol)]),
      ),
    }),
    accuracy: scores.accuracy,
    meanAccuracy: scores.meanAccuracy,
    frequencyWeightedIou: scores.frequencyWeightedIou,
    ...(boundary && { boundaryMiou: boundary.miou }),
    classes: classes.map((info, i) => ({
      name: info.name,
      iou: scores.iou[i],
      accuracy: scores.classAccuracy[i],
      ...(boundary && { boundaryIou: boundary.iou[i] }),
    })),
    ...(evaluation.perImage && { images: imagesOf(evaluation) }),
    confusion,
    seconds,
    device: describeDevice(device),
    versions: versions(),
  };
}
