// Predicted label maps as PNG files. Pixels stay in tensors until libvips takes them.

import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { type ClassInfo, encodeGrey, encodeIndexed, encodeRgb, writeWhole } from '@pgpc/datasets';
import { dims, fromTypedArray, type Tensor, tidy } from '@pgpc/torch';
import type { PredictionFormat } from './prediction-format.js';
import { marked } from './prediction-mark.js';

/** Label maps are small at any level, and the lower ones take a fraction of the time. */
const LEVEL = 3;

/** The palette of the classes, black at indices without one. */
function palette(classes: readonly ClassInfo[]): [number, number, number][] {
  const colors = Array.from(
    { length: Math.max(...classes.map((c) => c.trainId)) + 1 },
    (): [number, number, number] => [0, 0, 0],
  );
  for (const { trainId, color } of classes) colors[trainId] = [...color];
  return colors;
}

/** The entry of a table for every pixel. @param table (256, ..), uint8. @param labels (H, W), uint8. @returns (H, W, ..) */
function entries(table: Uint8Array<ArrayBuffer>, shape: readonly number[], labels: Tensor): Tensor {
  return tidy(() => {
    const rows = fromTypedArray(table, shape).to({ device: labels.device, nonBlocking: true });
    return rows.indexSelect(0, labels.flatten().to('int32')).reshape([...labels.shape, ...shape.slice(1)]);
  });
}

/** The classes' colours: (H, W) to (H, W, 3), uint8, where the labels are; black where there is no class. */
export function colorsOf(labels: Tensor, classes: readonly Pick<ClassInfo, 'trainId' | 'color'>[]): Tensor {
  const table = new Uint8Array(256 * 3);
  for (const { trainId, color } of classes) table.set(color, 3 * trainId);
  return entries(table, [256, 3], labels);
}

/**
 * A label map as the bytes of a PNG. Waits for the device; compressing does not hold up the caller.
 * @param labels (H, W), uint8: the classes' indices, 255 where there is none.
 */
export function encodeLabels(
  labels: Tensor,
  classes: readonly ClassInfo[],
  format: PredictionFormat,
): Promise<Uint8Array> {
  const [height, width] = dims(labels, 2);
  const bytes = (pixels: Tensor) => ({ width, height, data: pixels.toArray() as Uint8Array });
  if (format === 'trainIds') return encodeIndexed(bytes(labels), palette(classes), LEVEL);
  if (format === 'labelIds') {
    const table = new Uint8Array(256);
    for (const { trainId, labelId } of classes) table[trainId] = labelId;
    return encodeValues(labels, table);
  }
  using colors = colorsOf(labels, classes);
  return encodeRgb(bytes(colors), LEVEL);
}

/** A grey PNG of what a table has for every pixel. @param labels (H, W), uint8. @param table 256 values, 0 .. 255. */
export function encodeValues(labels: Tensor, table: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const [height, width] = dims(labels, 2);
  using values = entries(table, [256], labels);
  return encodeGrey({ width, height, data: values.toArray() as Uint8Array }, LEVEL);
}

/** Where {@link writePrediction} writes. */
export const predictionFile = (folder: string, id: string): string => path.join(folder, `${id}.png`);

/** Writes a picture as a whole, with the mark of predictions, and makes its folder. */
export async function writePicture(file: string, picture: Uint8Array): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  await writeWhole(file, marked(picture));
}

/**
 * Writes `folder/ID.png`, with the id's folders. Cityscapes' server looks in all folders for one file whose name begins with
 * city, sequence and frame, as the ids of Cityscapes do.
 * @param labels as of {@link encodeLabels}. @returns the file's path
 */
export async function writePrediction(
  folder: string,
  id: string,
  labels: Tensor,
  classes: readonly ClassInfo[],
  format: PredictionFormat,
): Promise<string> {
  const file = predictionFile(folder, id);
  await writePicture(file, await encodeLabels(labels, classes, format));
  return file;
}
