// `pgpc predict`: label maps of one's own images, of any sizes.

import { readdir } from 'node:fs/promises';
import { join, parse, relative, sep } from 'node:path';
import { CITYSCAPES_CLASSES, type ClassInfo, DatasetError, decodeRgb, numberedClasses } from '@pgpc/datasets';
import { toLabelMap } from '../evaluation/evaluate.js';
import { predictLabels } from '../evaluation/inference.js';
import { writePrediction } from '../evaluation/label-files.js';
import { useCores } from '../machine.js';
import { loadSegmentor } from '../models/checkpoint.js';
import { chosenDevice } from './device.js';
import { modelFile } from './evaluate.js';
import { progress } from './output/progress.js';
import type { Predict } from './train-types.js';

const IMAGE_FILE = /\.(jpe?g|png|webp|tiff?|avif|gif)$/i;

/** Paths of the images in a folder and its subfolders by the paths of their label maps, without suffix, in order. */
async function listImages(folder: string): Promise<Map<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile() && IMAGE_FILE.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  if (files.length === 0) {
    throw new DatasetError(`${folder}: no images here (.jpg, .png, .webp, .tif, .avif or .gif)`);
  }
  const byId = new Map<string, string>();
  for (const file of files) {
    const { dir, name } = parse(relative(folder, file));
    const id = join(dir, name).replaceAll(sep, '/');
    const other = byId.get(id);
    if (other) {
      throw new DatasetError(`${other} and ${file}: both label maps would be ${id}.png; rename one image`);
    }
    byId.set(id, file);
  }
  return byId;
}

/** Cityscapes' classes for a model of 19; of a model of other classes only their number is known. */
function classesOf(count: number): readonly ClassInfo[] {
  return count === CITYSCAPES_CLASSES.length ? CITYSCAPES_CLASSES : numberedClasses(count).classes;
}

/** Adds the file's name to an error. */
function explained<T>(file: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`, { cause: error });
  }
}

export const predict: Predict = async (options, io) => {
  const { checkpoint, images, out, predictions, inference } = options;
  useCores();
  const device = chosenDevice(options.device);
  const files = await listImages(images);
  using segmentor = loadSegmentor(modelFile(checkpoint)).to({ device });
  segmentor.eval();
  const classes = classesOf(segmentor.config.classes);
  const bar = progress({ label: 'predict', total: files.size, stream: io.stderr, unit: 'images' });
  let done = 0;
  for (const [id, file] of files) {
    io.signal.throwIfAborted();
    const image = await decodeRgb(file);
    using labels = explained(file, () => predictLabels(segmentor, image, inference));
    await writePrediction(out, id, toLabelMap(labels), classes, predictions);
    bar.update(++done);
  }
  bar.done();
  io.stdout.write(`${files.size} label maps (${predictions}): ${out}\n`);
};
