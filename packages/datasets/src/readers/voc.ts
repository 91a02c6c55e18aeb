// The layout of Pascal VOC's segmentation, in which CVAT ("Segmentation mask 1.1") and labelme export.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { fault } from '../errors.js';
import { IMAGE_ENDINGS, isFolder, LABEL_ENDINGS, listFiles, type ReaderOptions } from '../files/list.js';
import type { Sample } from '../types.js';
import { samplesOfSplit } from './file-dataset.js';
import { firstFolder, splitsBy } from './reader.js';
import { readNameList, selectIds } from './splits.js';

/** Of labelme's the first holds arrays of NumPy, and the second the same as PNG files. */
export const VOC_LABELS: readonly string[] = ['SegmentationClassPNG', 'SegmentationClass'];

/** Whether a folder is laid out so. */
export async function isVoc(root: string): Promise<boolean> {
  return (await firstFolder(root, ...VOC_LABELS)) !== undefined;
}

/** The splits that a list is there for; all where there is none. */
export async function vocSplits(root: string): Promise<string[]> {
  const lists = await listsOf(root);
  const found = await splitsBy(async (split) => lists.some((name) => isListOf(name, split)));
  return found.length > 0 ? found : ['all'];
}

/**
 * Images in `JPEGImages` or `images`, masks of the same names in `SegmentationClassPNG` or `SegmentationClass`, and lists
 * of names in `ImageSets/Segmentation` (`default.txt` stands for every split that has no list of its own).
 * @throws {DatasetError} when a folder is missing or empty, or there is no list; also, unless there is an `onFault`,
 * as `samplesOfSplit`
 */
export async function vocSamples(
  root: string,
  split: string,
  { labels, onFault, onNote }: ReaderOptions,
): Promise<Sample[]> {
  const heard = { onFault, onNote };
  const imageFolder = path.join(root, (await firstFolder(root, 'JPEGImages', 'images')) ?? 'JPEGImages');
  const labelFolder = path.join(root, (await firstFolder(root, ...VOC_LABELS))!);
  const imageOf = (id: string) => path.join(imageFolder, `${id}.jpg`);
  const labelOf = (id: string) => path.join(labelFolder, `${id}.png`);
  const images = await listFiles(imageFolder, { what: 'images', endings: IMAGE_ENDINGS, ...heard });
  const ids = split === 'all' ? undefined : await listOf(root, split, images);
  const findLabels = async () => {
    const found = await listFiles(labelFolder, { what: 'masks', endings: LABEL_ENDINGS, ...heard }).catch(
      (error) => {
        throw arraysOf(labelFolder, error);
      },
    );
    return selectIds(found, ids, labelOf, onFault);
  };
  const chosen = selectIds(images, ids, imageOf, onFault);
  return samplesOfSplit({
    images: chosen,
    split,
    labels,
    labelFolder,
    findLabels,
    imageOf,
    labelOf,
    onFault,
  });
}

/** labelme's folder of arrays, without the one of PNG files beside it, is told by its name. */
function arraysOf(folder: string, error: unknown): unknown {
  if (!folder.endsWith('SegmentationClass') || (error as { kind?: string }).kind !== 'empty') return error;
  return fault(
    'empty',
    folder,
    'no masks here that end in .png; of the exports of labelme take the PNG files, SegmentationClassPNG, not the .npy arrays',
    error,
  );
}

/** CVAT names its lists after its subsets, such as Train, Validation or default. */
function isListOf(name: string, split: string): boolean {
  const names = split === 'val' ? ['val.txt', 'validation.txt'] : [`${split}.txt`];
  return names.includes(name.toLowerCase());
}

const listFolder = (root: string) => path.join(root, 'ImageSets', 'Segmentation');

async function listsOf(root: string): Promise<string[]> {
  return (await isFolder(listFolder(root))) ? readdir(listFolder(root)) : [];
}

async function listOf(root: string, split: string, images: ReadonlyMap<string, string>): Promise<string[]> {
  const lists = await listsOf(root);
  const list =
    lists.find((name) => isListOf(name, split)) ?? lists.find((name) => name.toLowerCase() === 'default.txt');
  if (list !== undefined) return readNameList(path.join(listFolder(root), list), images);
  throw fault(
    'missing',
    listFolder(root),
    `no list ${split}.txt${lists.length > 0 ? `; it has ${lists.join(', ')}` : ''}`,
  );
}
