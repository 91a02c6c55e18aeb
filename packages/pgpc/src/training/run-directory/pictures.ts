// The pictures of a run directory.

import { writeFile } from 'node:fs/promises';
import { type ClassInfo, type LabelMap, naming, type RgbImage } from '@pgpc/datasets';
import sharp, { type Sharp } from 'sharp';
import type { RunClass } from './schema.js';

/** Train ids in the classes' colours; ids that are no class are black. */
export function coloured(
  { width, height, data: trainIds }: LabelMap,
  classes: readonly { readonly color: RunClass['color'] | ClassInfo['color'] }[],
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
  await written(file, sharp(data, { raw: { width, height, channels: 3 } }).png());
}

/** Levels of grey, 0 .. 255. */
export async function writeGreyPng(file: string, { width, height, data }: LabelMap): Promise<void> {
  const grey = sharp(data, { raw: { width, height, channels: 1 } }).toColourspace('b-w');
  await written(file, grey.png({ compressionLevel: 9 }));
}

/** By the system, whose errors say what is wrong. */
async function written(file: string, picture: Sharp): Promise<void> {
  const bytes = await picture.toBuffer();
  await writeFile(file, bytes).catch((error) => {
    throw naming(file, error);
  });
}
