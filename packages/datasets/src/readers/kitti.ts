// Reader of KITTI's semantic segmentation benchmark: training/image_2 with training/semantic label ids.
import path from 'node:path';
import { cityscapesClasses } from '../classes/cityscapes.js';
import { fault } from '../errors.js';
import { IMAGE_ENDINGS, isFile, isFolder, listFiles, type ReaderOptions } from '../files/list.js';
import type { SegmentationDataset } from '../types.js';
import { FileDataset, labelsIn, samplesOfSplit } from './file-dataset.js';
import { type DatasetReader, splitsBy } from './reader.js';
import { readNameList, selectIds } from './splits.js';

/**
 * Opens KITTI's images of 2015 with semantic labels (Alhaija et al., IJCV 2018): `root/training/image_2/*.png` with
 * `root/training/semantic/*.png`, Cityscapes' label ids, are the split train, or parts of it by lists of names
 * `root/train.txt` and `root/val.txt`; `root/testing/image_2`, the split test, has no labels.
 * @throws {DatasetError} when a folder is missing or empty, or nothing defines the split; also, unless there is an
 * `onFault`, when an image or label lacks its partner, a listed name does not exist or a link leads in a circle
 */
export async function openKitti(
  root: string,
  split: string,
  { labels, onFault, onNote }: ReaderOptions = {},
): Promise<SegmentationDataset> {
  const heard = { onFault, onNote };
  const folder = path.join(root, split === 'test' ? 'testing' : 'training');
  const imageOf = (id: string) => path.join(folder, 'image_2', `${id}.png`);
  const labelFolder = path.join(folder, 'semantic');
  const labelOf = (id: string) => path.join(labelFolder, `${id}.png`);
  const found = await listFiles(path.join(folder, 'image_2'), {
    what: 'KITTI images',
    endings: IMAGE_ENDINGS,
    ...heard,
  });
  const list = path.join(root, `${split}.txt`);
  const listed = (await isFile(list)) ? await readNameList(list, found) : undefined;
  if (listed === undefined && split !== 'train' && split !== 'test') {
    throw fault('missing', list, `not found; KITTI has no split '${split}': write a list of names here`);
  }
  const kept = listed && new Set(listed);
  const images = selectIds(found, listed, imageOf, onFault);
  const labelSearch = {
    what: 'KITTI labels',
    endings: ['.png'],
    ...(kept && { except: (id: string) => !kept.has(id) }),
    ...heard,
  };
  const samples = await samplesOfSplit({
    images,
    split,
    labels,
    labelFolder,
    findLabels: labelsIn(labelFolder, labelSearch),
    imageOf,
    labelOf,
    onFault,
  });
  return new FileDataset({
    name: 'kitti',
    root,
    split,
    samples,
    ...cityscapesClasses('labelIds'),
  });
}

export const kittiReader: DatasetReader = {
  detect: async (root) => {
    const images = path.join('training', 'image_2');
    if (!(await isFolder(path.join(root, images)))) return undefined;
    const labels = path.join('training', 'semantic');
    return (await isFolder(path.join(root, labels))) ? `${images}/ and ${labels}/` : `${images}/`;
  },
  splits: (root) =>
    splitsBy((split) => {
      if (split === 'val') return isFile(path.join(root, 'val.txt'));
      return isFolder(path.join(root, split === 'test' ? 'testing' : 'training', 'image_2'));
    }),
  open: openKitti,
};
