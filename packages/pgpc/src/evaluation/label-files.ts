// Predicted label maps as PNG files.

import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type ClassInfo, encodePng, type LabelMap } from '@pgpc/datasets';
import type { PredictionFormat } from './prediction-format.js';
import { marked } from './prediction-mark.js';

type Palette = [number, number, number][];

/** The palette of the classes, black at indices without one. */
function palette(classes: readonly ClassInfo[]): Palette {
  const colors: Palette = Array.from({ length: Math.max(...classes.map((c) => c.trainId)) + 1 }, () => [
    0, 0, 0,
  ]);
  for (const { trainId, color } of classes) colors[trainId] = [...color];
  return colors;
}

/** A label map as the bytes of a PNG. */
export function encodeLabels(
  { width, height, data }: LabelMap,
  classes: readonly ClassInfo[],
  format: PredictionFormat,
): Uint8Array {
  // Level 3 takes half the time of the default, and label maps are small at any.
  const zlib = { zlib: { level: 3 } } as const;
  if (format === 'trainIds') {
    return encodePng({ width, height, data, channels: 1, palette: palette(classes) }, zlib);
  }
  if (format === 'labelIds') {
    const table = new Uint8Array(256);
    for (const { trainId, labelId } of classes) table[trainId] = labelId;
    return encodePng({ width, height, data: data.map((trainId) => table[trainId]!), channels: 1 }, zlib);
  }
  const colors = palette(classes);
  const rgb = new Uint8Array(3 * data.length);
  for (let i = 0; i < data.length; i++) rgb.set(colors[data[i]!]!, 3 * i);
  return encodePng({ width, height, data: rgb, channels: 3 }, zlib);
}

/** Where {@link writePrediction} writes. */
export const predictionFile = (folder: string, id: string): string => path.join(folder, `${id}.png`);

/**
 * Writes `folder/ID.png`, with the id's folders. Cityscapes' server looks in all folders for one file whose name begins with
 * city, sequence and frame, as the ids of Cityscapes do.
 * @returns the file's path
 */
export async function writePrediction(
  folder: string,
  id: string,
  labels: LabelMap,
  classes: readonly ClassInfo[],
  format: PredictionFormat,
): Promise<string> {
  const file = predictionFile(folder, id);
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, marked(encodeLabels(labels, classes, format)));
  return file;
}
