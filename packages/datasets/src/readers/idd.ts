// Reader of IDD, the India Driving Dataset: Cityscapes' folders with labels by AutoNUE's names.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { CITYSCAPES_CLASSES, cityscapesClasses } from '../classes/cityscapes.js';
import type { ClassDefinition } from '../classes/class-file.js';
import { valueClasses } from '../classes/listed-classes.js';
import { fault } from '../errors.js';
import { isFolder, listFiles, type ReaderOptions } from '../files/list.js';
import type { PublishedSplit } from '../formats.js';
import type { SegmentationDataset } from '../types.js';
import { FileDataset, samplesOfSplit } from './file-dataset.js';
import { foldersIn } from './own-layout.js';
import { type DatasetReader, publishedSplit, splitsBy } from './reader.js';

const IMAGE_SUFFIXES = ['_leftImg8bit.png', '_leftImg8bit.jpg'];
/** Values 0 to 18 are Cityscapes' trainIds: what adaptation between the two needs. */
const CITYSCAPES_SUFFIX = '_gtFine_labelcsTrainIds.png';
const LEVEL_3_SUFFIX = '_gtFine_labellevel3Ids.png';
const POLYGON_SUFFIX = '_gtFine_polygons.json';

/** IDD's classes of level 3 by value, as AutoNUE's helpers/anue_labels.py numbers them; of several, the first names. */
const LEVEL_3 = [
  'road',
  'parking',
  'sidewalk',
  'rail track',
  'person',
  'rider',
  'motorcycle',
  'bicycle',
  'autorickshaw',
  'car',
  'truck',
  'bus',
  'vehicle fallback',
  'curb',
  'wall',
  'fence',
  'guard rail',
  'billboard',
  'traffic sign',
  'traffic light',
  'pole',
  'obs-str-bar-fallback',
  'building',
  'bridge',
  'vegetation',
  'sky',
];

/**
 * Opens a split of IDD (Varma et al., WACV 2019): `root/leftImg8bit/SPLIT/DRIVE/*_leftImg8bit.png` (or `.jpg`) with
 * `root/gtFine/SPLIT/DRIVE/*_gtFine_labelcsTrainIds.png`, which have Cityscapes' classes, or where none of these is there
 * `*_gtFine_labellevel3Ids.png` with IDD's 26. The archive has polygons alone: AutoNUE's `createLabels.py` draws them.
 * @throws {DatasetError} when a folder is missing or empty, or holds polygons alone where labels are needed; also,
 * unless there is an `onFault`, when an image or label lacks its partner or a link leads in a circle
 */
export async function openIdd(
  root: string,
  split: PublishedSplit,
  { labels, onFault, onNote }: ReaderOptions = {},
): Promise<SegmentationDataset> {
  const heard = { onFault, onNote };
  const imageFolder = path.join(root, 'leftImg8bit', split);
  const labelFolder = path.join(root, 'gtFine', split);
  const suffix =
    (await suffixIn(labelFolder)) ?? (await suffixIn(path.join(root, 'gtFine'))) ?? POLYGON_SUFFIX;
  const images = await listFiles(imageFolder, {
    what: `IDD ${split} images`,
    endings: IMAGE_SUFFIXES,
    ...heard,
  });
  const samples = await samplesOfSplit({
    images,
    split,
    labels,
    labelFolder,
    findLabels: async () => {
      if (!(await isFolder(labelFolder))) return undefined;
      if (suffix !== POLYGON_SUFFIX) {
        return listFiles(labelFolder, { what: `IDD ${split} labels`, endings: [suffix], ...heard });
      }
      const why = `only polygons here (*${POLYGON_SUFFIX}); draw the labels with AutoNUE's createLabels.py --id-type csTrainId`;
      if (labels === 'required' || split === 'val') throw fault('missing', labelFolder, why);
      onNote?.(`${labelFolder}: ${why}`);
      return undefined;
    },
    imageOf: (id) => path.join(imageFolder, id + IMAGE_SUFFIXES[0]),
    labelOf: (id) => path.join(labelFolder, id + suffix),
    onFault,
  });
  return new FileDataset({ name: 'idd', root, split, samples, ...definitionOf(root, suffix) });
}

function definitionOf(root: string, suffix: string): ClassDefinition {
  if (suffix === LEVEL_3_SUFFIX) {
    return valueClasses(
      root,
      LEVEL_3.map((name, value) => ({
        name,
        value,
        color: CITYSCAPES_CLASSES.find((info) => info.name === name)?.color,
        kind: CITYSCAPES_CLASSES.find((info) => info.name === name)?.kind,
      })),
      [],
    );
  }
  return cityscapesClasses('trainIds');
}

/** The ending of the labels in a folder, by what says most; undefined where none of IDD's is there. */
async function suffixIn(folder: string): Promise<string | undefined> {
  const names = await someNames(folder);
  const endings = [CITYSCAPES_SUFFIX, LEVEL_3_SUFFIX, POLYGON_SUFFIX];
  return endings.find((ending) => names.some((name) => name.endsWith(ending)));
}

/** Names of files in a folder and, two levels down, in the first of its folders: there may be thousands of files. */
async function someNames(folder: string, levels = 2): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  if (levels === 0) return names;
  const first = (await foldersIn(folder)).slice(0, 3);
  const inside = await Promise.all(first.map((name) => someNames(path.join(folder, name), levels - 1)));
  return [...names, ...inside.flat()];
}

export const iddReader: DatasetReader = {
  detect: async (root) => {
    if (!(await isFolder(path.join(root, 'leftImg8bit')))) return undefined;
    const suffix = await suffixIn(path.join(root, 'gtFine'));
    // Cityscapes has polygons too.
    return suffix && suffix !== POLYGON_SUFFIX ? `leftImg8bit/ and gtFine/ with *${suffix}` : undefined;
  },
  splits: (root) => splitsBy((split) => isFolder(path.join(root, 'leftImg8bit', split))),
  open: (root, split, options) => openIdd(root, publishedSplit(root, 'idd', split), options),
};
