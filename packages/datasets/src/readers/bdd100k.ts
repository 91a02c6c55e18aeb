// Reader of BDD100K's semantic segmentation: images/10k and labels/sem_seg/masks.
import path from 'node:path';
import { cityscapesClasses } from '../classes/cityscapes.js';
import { IMAGE_ENDINGS, isFolder, listFiles, type ReaderOptions } from '../files/list.js';
import type { PublishedSplit } from '../formats.js';
import type { SegmentationDataset } from '../types.js';
import { FileDataset, labelsIn, samplesOfSplit } from './file-dataset.js';
import { type DatasetReader, publishedSplit, splitsBy } from './reader.js';

/**
 * Opens a split of BDD100K (Yu et al., CVPR 2020): `root/images/10k/SPLIT/*.jpg` with
 * `root/labels/sem_seg/masks/SPLIT/*.png`, or the earlier `root/seg/images/SPLIT` with
 * `root/seg/labels/SPLIT/*_train_id.png`. Labels hold Cityscapes' trainIds, and may be absent as a whole.
 * @throws {DatasetError} when a folder is missing or empty; also, unless there is an `onFault`, when an image or label
 * lacks its partner or a link leads in a circle
 */
export async function openBdd100k(
  root: string,
  split: PublishedSplit,
  { labels, onFault, onNote }: ReaderOptions = {},
): Promise<SegmentationDataset> {
  const earlier = await isFolder(path.join(root, 'seg', 'images'));
  const imageFolder = path.join(root, ...(earlier ? ['seg', 'images'] : ['images', '10k']), split);
  const labelFolder = path.join(
    root,
    ...(earlier ? ['seg', 'labels'] : ['labels', 'sem_seg', 'masks']),
    split,
  );
  const labelEnding = earlier ? '_train_id.png' : '.png';
  const images = await listFiles(imageFolder, {
    what: `BDD100K ${split} images`,
    endings: IMAGE_ENDINGS,
    onFault,
    onNote,
  });
  const labelSearch = { what: `BDD100K ${split} labels`, endings: [labelEnding], onFault, onNote };
  const samples = await samplesOfSplit({
    images,
    split,
    labels,
    labelFolder,
    findLabels: labelsIn(labelFolder, labelSearch),
    imageOf: (id) => path.join(imageFolder, `${id}.jpg`),
    labelOf: (id) => path.join(labelFolder, id + labelEnding),
    onFault,
  });
  return new FileDataset({
    name: 'bdd100k',
    root,
    split,
    samples,
    ...cityscapesClasses('trainIds'),
  });
}

const IMAGE_FOLDERS = [
  ['images', '10k'],
  ['seg', 'images'],
] as const;

async function anyFolder(root: string, ...end: string[]): Promise<boolean> {
  const found = await Promise.all(IMAGE_FOLDERS.map((parts) => isFolder(path.join(root, ...parts, ...end))));
  return found.includes(true);
}

export const bdd100kReader: DatasetReader = {
  detect: async (root) => ((await anyFolder(root)) ? 'images/10k/ or seg/images/' : undefined),
  splits: (root) => splitsBy((split) => anyFolder(root, split)),
  open: (root, split, options) => openBdd100k(root, publishedSplit(root, 'bdd100k', split), options),
};
