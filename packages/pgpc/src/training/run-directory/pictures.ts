// The pictures of a run directory.

import type { LabelMap, RgbImage } from '@pgpc/datasets';
import sharp from 'sharp';
import type { RunClass } from './schema.js';

/** Train ids in the classes' colours; ids that are no class are black. */
export function coloured(
  { width, height, data: trainIds }: LabelMap,
  classes: readonly RunClass[],
): RgbImage {
  const colors = new Uint8Array(256 * 3);
  for (const [id, { color }] of classes.entries()) colors.set(color, id * 3);
  const data = new Uint8Array(trainIds.length * 3);
  for (let i = 0; i < trainIds.length; i++) {
    const entry = trainIds[i]! * 3;
    data.set(colors.subarray(entry, entry + 3), i * 3);
  }
  return { width, height, data };
}

export async function writePng(file: string, { width, height, data }: RgbImage): Promise<void> {
  await sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toFile(file);
}

/** Levels of grey, 0 .. 255. */
export async function writeGreyPng(file: string, { width, height, data }: LabelMap): Promise<void> {
  await sharp(data, { raw: { width, height, channels: 1 } })
    .toColourspace('b-w')
    .png({ compressionLevel: 9 })
    .toFile(file);
}
