// A saved model on images of one's own, of any sizes: label maps as files.

import { readdir } from 'node:fs/promises';
import { join, parse, relative, sep } from 'node:path';
import { CITYSCAPES_CLASSES, type ClassInfo, DatasetError, decodeRgb, numberedClasses } from '@pgpc/datasets';
import { enterProcess, type ProcessOptions } from '../machine.js';
import { loadModel } from '../models/checkpoint.js';
import { toLabelMap } from './evaluate.js';
import { type InferenceOptions, predictLabels } from './inference.js';
import { writePrediction } from './label-files.js';
import type { PredictionFormat } from './prediction-format.js';

export interface PredictOptions extends ProcessOptions {
  /** Model file, or a checkpoint folder with one. */
  checkpoint: string;
  /** Folder with images. */
  images: string;
  /** Folder for the label maps. */
  out: string;
  /** What they hold: 'trainIds' by default. */
  format?: PredictionFormat | undefined;
  /** How an image goes through the network; by default whole, as it is. */
  inference?: InferenceOptions | undefined;
  /** Told of every image that is done. */
  onImage?: ((done: number, total: number) => void) | undefined;
}

export interface Predictions {
  /** Paths of the label maps, in the order of the images. */
  files: string[];
  /** The model's classes; colours and numbers where its file does not say. */
  classes: readonly ClassInfo[];
}

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

/**
 * Writes a label map for every image in a folder and its subfolders, under the image's name.
 * @throws DatasetError for a folder without images, two images of one name, and an image that cannot be read; Error for
 *   a file that is no model; the signal's reason once it is aborted.
 */
export async function predict(options: PredictOptions): Promise<Predictions> {
  const { checkpoint, images, out, format = 'trainIds', inference, signal, onImage } = options;
  const device = enterProcess(options);
  const sources = await listImages(images);
  using segmentor = loadModel(checkpoint).to({ device });
  segmentor.eval();
  const classes = segmentor.classInfo ?? classesOf(segmentor.config.classes);
  const files: string[] = [];
  for (const [id, file] of sources) {
    signal?.throwIfAborted();
    const image = await decodeRgb(file);
    using labels = explained(file, () => predictLabels(segmentor, image, inference));
    files.push(await writePrediction(out, id, toLabelMap(labels), classes, format));
    onImage?.(files.length, sources.size);
  }
  return { files, classes };
}
