// What `pgpc eval --per-image` shows and writes.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { writeJson, writeWhole } from '@pgpc/datasets';
import type { ModelEvaluation } from '../../evaluation/evaluate-model.js';
import type { ImageScores } from '../../evaluation/per-image.js';
import { percent } from '../../report/format.js';
import { worstPage } from '../../report/worst-page.js';
import { csvText } from '../../training/logs/csv.js';
import { textTable } from './table.js';

/** Rows of the table on the terminal. */
const LISTED = 10;

/** A number for JSON, which has no NaN. */
const figure = (value: number) => (Number.isNaN(value) ? null : value);

/** The scores of every image as plain JSON, in the order of the samples. */
export function imagesOf({ perImage, classes }: ModelEvaluation) {
  return perImage?.images.map(({ id, image, label, pixels, miou, accuracy, iou }) => ({
    id,
    image,
    label,
    pixels,
    miou: figure(miou),
    accuracy: figure(accuracy),
    iou: Object.fromEntries(classes.map(({ name }, i) => [name, figure(iou[i]!)])),
  }));
}

/** The worst images, lowest mIoU first; a score that an image does not have is left out. */
export function worstTable({ perImage, classes }: ModelEvaluation): string {
  const worst = perImage!.worst.slice(0, LISTED);
  return textTable(
    ['worst images, %', 'mIoU', 'accuracy', 'lowest class'],
    worst.map(({ scores }) => [
      scores.id,
      percent(scores.miou),
      percent(scores.accuracy),
      lowest(scores, classes),
    ]),
  );
}

function lowest({ iou }: ImageScores, classes: readonly { readonly name: string }[]): string {
  const known = iou.flatMap((value, i) => (Number.isNaN(value) ? [] : [{ value, name: classes[i]!.name }]));
  const least = known.reduce((a, b) => (b.value < a.value ? b : a));
  return `${least.name} ${percent(least.value)}`;
}

/** Writes `images.csv`, `images.json` and `worst.html` into a folder, which is made if it is missing. */
export async function writePerImage(
  evaluation: ModelEvaluation,
  folder: string,
  checkpoint: string,
): Promise<void> {
  const { perImage, classes, dataset } = evaluation;
  await mkdir(folder, { recursive: true });
  writeJson(join(folder, 'images.json'), imagesOf(evaluation));
  const rows = perImage!.images.map(({ id, image, label, pixels, miou, accuracy, iou }) => [
    ...[id, image, label, pixels],
    ...[miou, accuracy, ...iou].map((value) => (Number.isNaN(value) ? undefined : value)),
  ]);
  const head = ['id', 'image', 'label', 'pixels', 'miou', 'accuracy', ...classes.map(({ name }) => name)];
  await writeWhole(join(folder, 'images.csv'), csvText([head, ...rows]));
  const images = await Promise.all(
    perImage!.worst.map(async ({ index, scores, truth, prediction }) => ({
      ...scores,
      truth,
      prediction,
      image: await dataset.readImage(index),
    })),
  );
  const { name, root, split, samples } = dataset;
  const text = await worstPage({
    title: 'Worst images',
    facts: `${checkpoint} on ${split} of ${root} (${name}, ${samples.length} images)`,
    classes,
    images,
  });
  await writeWhole(join(folder, 'worst.html'), text);
}
