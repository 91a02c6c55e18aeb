// The pictures of a run directory.

import { mkdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type ClassInfo, type LabelMap, naming, type RgbImage } from '@pgpc/datasets';
import sharp, { type Sharp } from 'sharp';
import { checked, pictureFile, type RunClass } from './schema.js';

/** Train ids in the classes' colours; ids that are no class are black. */
export function coloured(
  { width, height, data: trainIds }: LabelMap,
  classes: readonly Pick<ClassInfo | RunClass, 'color'>[],
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

/** The pictures of a run, which any of its processes writes; their index is the run's own. */
export class RunPictures {
  /**
   * @param path the run directory.
   * @param classes whose colours label maps get, in the order of their trainIds.
   */
  constructor(
    readonly path: string,
    readonly classes: readonly Pick<ClassInfo | RunClass, 'color'>[],
  ) {}

  /** Writes an RGB image to `pictures/<file>` as PNG. @throws Error if the name has a folder in it, or by the system's words. */
  async writePicture(file: string, { width, height, data }: RgbImage): Promise<void> {
    await written(this.picturePath(file), sharp(data, { raw: { width, height, channels: 3 } }).png());
  }

  /** Writes train ids as a PNG in the classes' colours; ids that are no class are black. @throws as {@link writePicture} does. */
  async writeLabelPicture(file: string, labels: LabelMap): Promise<void> {
    await this.writePicture(file, coloured(labels, this.classes));
  }

  /** Writes levels of grey, 0 .. 255. @throws as {@link writePicture} does. */
  async writeMaskPicture(file: string, { width, height, data }: LabelMap): Promise<void> {
    const grey = sharp(data, { raw: { width, height, channels: 1 } }).toColourspace('b-w');
    await written(this.picturePath(file), grey.png({ compressionLevel: 9 }));
  }

  /** Where a file of `pictures/` lies; makes that folder. @throws Error if the name has a folder in it. */
  picturePath(file: string): string {
    checked(pictureFile, file, `picture '${file}'`);
    mkdirSync(path.join(this.path, 'pictures'), { recursive: true });
    return path.join(this.path, 'pictures', file);
  }
}

/** By the system, whose errors say what is wrong. */
async function written(file: string, picture: Sharp): Promise<void> {
  const bytes = await picture.toBuffer();
  await writeFile(file, bytes).catch((error) => {
    throw naming(file, error);
  });
}
