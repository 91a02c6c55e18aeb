// Reader of your own data: images/SPLIT with masks/SPLIT, and CVAT's export "Segmentation mask 1.1".
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import {
  type ClassDefinition,
  classesByTrainId,
  MAX_CLASSES,
  numberedClasses,
  readClassFile,
  readCvatLabelMap,
} from '../classes/class-file.js';
import { DatasetError, fault } from '../errors.js';
import {
  IMAGE_ENDINGS,
  isFile,
  isFolder,
  listFiles,
  type OnFault,
  type ReaderOptions,
} from '../files/list.js';
import { labelHistograms } from '../labels/histograms.js';
import {
  type ClassInfo,
  IGNORE_INDEX,
  type Sample,
  type SegmentationDataset,
  UNKNOWN_LABEL,
} from '../types.js';
import { FileDataset, pairSamples, samplesOfFolders } from './file-dataset.js';
import { readNameList, selectIds } from './splits.js';

export interface FolderOptions extends ReaderOptions {
  /**
   * The classes: a class file (see `readClassFile`), or classes whose trainIds the masks hold. Default: the root's
   * `classes.yaml`, `classes.yml`, `classes.json` or CVAT's `labelmap.txt`; where there is none, the values that occur
   * in the masks of all splits decide how many there are.
   */
  readonly classes?: string | readonly ClassInfo[] | undefined;
}

/** Names of class files, in the order in which they are looked for. */
export const CLASS_FILES: readonly string[] = ['classes.yaml', 'classes.yml', 'classes.json'];
const LABEL_MAP = 'labelmap.txt';

/**
 * Opens your own data. Three layouts are read:
 * - `root/images/SPLIT` with masks of the same names, `root/masks/SPLIT/*.png`;
 * - `root/images` with `root/masks`, and lists of names `root/SPLIT.txt`; without lists, split 'all' takes all;
 * - CVAT's "Segmentation mask 1.1": `SegmentationClass/*.png`, images in `JPEGImages` or `images`, and lists of names
 *   in `ImageSets/Segmentation` (`default.txt` stands for every split that has no list of its own).
 *
 * Masks have one channel, whose value is the class and 255 ignored, or colours where the class file says so. The masks
 * of a split may be absent as a whole, except in `val`.
 * @throws {DatasetError} when a folder is missing or empty, or classes are not defined; also, unless there is an
 * `onFault`, when an image or mask lacks its partner, a listed name does not exist or a link leads in a circle
 */
export async function openFolder(
  root: string,
  split: string,
  options: FolderOptions = {},
): Promise<SegmentationDataset> {
  const samples = (await isFolder(path.join(root, 'SegmentationClass')))
    ? await cvatSamples(root, split, options)
    : await ownSamples(root, split, options);
  const definition = await classesOf(root, samples, options);
  return new FileDataset({ name: 'folder', root, split, samples, ...definition });
}

async function ownSamples(
  root: string,
  split: string,
  { onFault, onNote }: ReaderOptions,
): Promise<Sample[]> {
  const bySplit = await isFolder(path.join(root, 'images', split));
  const imageFolder = bySplit ? path.join(root, 'images', split) : path.join(root, 'images');
  const labelFolder = bySplit ? path.join(root, 'masks', split) : path.join(root, 'masks');
  const imageOf = (id: string) => path.join(imageFolder, `${id}.png`);
  const labelOf = (id: string) => path.join(labelFolder, `${id}.png`);
  let images = await listFiles(imageFolder, { what: 'images', endings: IMAGE_ENDINGS, onFault, onNote });
  let keep: readonly string[] | undefined;
  if (!bySplit && split !== 'all') {
    const list = path.join(root, `${split}.txt`);
    if (!(await isFile(list))) {
      throw new DatasetError(
        `${path.join(imageFolder, split)}: not found, and no list ${list} either; one of them defines the split`,
        { kind: 'missing', file: path.join(imageFolder, split) },
      );
    }
    keep = await readNameList(list, images);
    images = selectIds(images, keep, imageOf, onFault);
  }
  const kept = keep && new Set(keep);
  return samplesOfFolders({
    images,
    labelFolder,
    labelSearch: {
      what: 'masks',
      endings: ['.png'],
      ...(kept && { except: (id: string) => !kept.has(id) }),
      onFault,
      onNote,
    },
    imageOf,
    labelOf,
    needsLabels: split === 'val',
    onFault,
  });
}

async function cvatSamples(
  root: string,
  split: string,
  { onFault, onNote }: ReaderOptions,
): Promise<Sample[]> {
  const jpegImages = path.join(root, 'JPEGImages');
  const imageFolder = (await isFolder(jpegImages)) ? jpegImages : path.join(root, 'images');
  const labelFolder = path.join(root, 'SegmentationClass');
  const imageOf = (id: string) => path.join(imageFolder, `${id}.jpg`);
  const labelOf = (id: string) => path.join(labelFolder, `${id}.png`);
  let images = await listFiles(imageFolder, { what: 'images', endings: IMAGE_ENDINGS, onFault, onNote });
  let labels = await listFiles(labelFolder, { what: 'masks', endings: ['.png'], onFault, onNote });
  const ids = split === 'all' ? undefined : await cvatList(root, split, images);
  if (ids !== undefined) {
    images = selectIds(images, ids, imageOf, onFault);
    labels = selectIds(labels, ids, labelOf, onFault);
  }
  return pairSamples({ images, labels, imageOf, labelOf, onFault });
}

/** CVAT names its lists after its subsets, such as Train, Validation or default. */
async function cvatList(root: string, split: string, images: ReadonlyMap<string, string>): Promise<string[]> {
  const folder = path.join(root, 'ImageSets', 'Segmentation');
  const lists = (await isFolder(folder)) ? await readdir(folder) : [];
  const wanted = split === 'val' ? ['val.txt', 'validation.txt'] : [`${split}.txt`];
  const list =
    lists.find((name) => wanted.includes(name.toLowerCase())) ??
    lists.find((name) => name.toLowerCase() === 'default.txt');
  if (list !== undefined) return readNameList(path.join(folder, list), images);
  throw fault(
    'missing',
    folder,
    `no list ${wanted.join(' or ')}${lists.length > 0 ? `; it has ${lists.join(', ')}` : ''}`,
  );
}

async function classesOf(
  root: string,
  samples: readonly Sample[],
  { classes, onFault }: FolderOptions,
): Promise<ClassDefinition> {
  if (typeof classes === 'string') return readClassFile(classes);
  if (classes !== undefined) return classesByTrainId(classes);
  const file = await classFileOf(root);
  if (file !== undefined) return file.endsWith(LABEL_MAP) ? readCvatLabelMap(file) : readClassFile(file);
  return classesFromMasks(root, samples, onFault);
}

/** The file in `root` that defines the classes, if there is one. */
async function classFileOf(root: string): Promise<string | undefined> {
  for (const name of [...CLASS_FILES, LABEL_MAP]) {
    if (await isFile(path.join(root, name))) return path.join(root, name);
  }
  return undefined;
}

/** Any value counts here: what is above the most classes is then refused with its file. */
const ANY_VALUE = { kind: 'values', table: Uint8Array.from({ length: 256 }, (_, value) => value) } as const;

/** As many classes as the largest value in any split's masks asks for, so that all splits agree. */
async function classesFromMasks(
  root: string,
  samples: readonly Sample[],
  onFault: OnFault | undefined,
): Promise<ClassDefinition> {
  const folder = path.join(root, 'masks');
  const files = (await isFolder(folder))
    ? await listFiles(folder, { what: 'masks', endings: ['.png'], onFault: () => {} })
    : new Map(samples.flatMap(({ id, label }) => (label === undefined ? [] : [[id, label]])));
  if (files.size === 0) {
    throw fault(
      'definition',
      root,
      `neither masks nor a list of classes; write ${CLASS_FILES[0]} with the names of the classes`,
    );
  }
  // The check of the samples reports masks that cannot be read.
  const tolerant = onFault && { onFault: () => {} };
  const histograms = await labelHistograms(root, [...files.values()], ANY_VALUE, tolerant);
  const values = [...histograms.values()].flatMap(({ counts }) => counts.map(([value]) => value));
  const largest = values.reduce((top, value) => (value < UNKNOWN_LABEL ? Math.max(top, value) : top), -1);
  if (largest < 1) {
    throw fault(
      'definition',
      folder,
      `the masks show ${largest < 0 ? 'no class' : 'one class only, 0'}, besides ${IGNORE_INDEX} = ignore; at least two are needed, such as values 0 and 1`,
    );
  }
  return numberedClasses(Math.min(largest + 1, MAX_CLASSES));
}
