// Reader of Cityscapes: leftImg8bit/SPLIT/CITY images and gtFine/SPLIT/CITY label ids.
import path from 'node:path';
import { CITYSCAPES_LABEL_TO_TRAIN_ID } from './cityscapes-classes.js';
import { checkPairs, FileDataset } from './file-dataset.js';
import { isFolder, listFiles } from './files.js';
import { DatasetError, type SegmentationDataset } from './types.js';

export type CityscapesSplit = 'train' | 'val' | 'test';

const IMAGE_SUFFIX = '_leftImg8bit.png';
const LABEL_SUFFIX = '_gtFine_labelIds.png';

/**
 * Opens a split of Cityscapes (Cordts et al., CVPR 2016): `root/leftImg8bit/SPLIT/CITY/*_leftImg8bit.png` with
 * `root/gtFine/SPLIT/CITY/*_gtFine_labelIds.png`. Label ids become trainIds as they are read; no other label
 * file is needed. The labels of `train` and `test` may be absent as a whole (no folder `gtFine/SPLIT`): the
 * samples then carry none. Those of `val` must be there.
 * @throws {DatasetError} when a folder is missing or empty, an image or label lacks its partner, or a link leads
 * in a circle
 */
export async function openCityscapes(root: string, split: CityscapesSplit): Promise<SegmentationDataset> {
  const imageFolder = path.join(root, 'leftImg8bit', split);
  const labelFolder = path.join(root, 'gtFine', split);
  const pathOf = (id: string) => ({
    image: path.join(imageFolder, id + IMAGE_SUFFIX),
    label: path.join(labelFolder, id + LABEL_SUFFIX),
  });
  const images = await listFiles(imageFolder, IMAGE_SUFFIX, `Cityscapes ${split} images`);
  const labelled = await isFolder(labelFolder);
  if (labelled) {
    checkPairs(images, await listFiles(labelFolder, LABEL_SUFFIX, `Cityscapes ${split} labels`), pathOf);
  } else if (split === 'val') {
    throw new DatasetError(`${labelFolder}: not found; the labels of the validation split should be here`);
  }
  const samples = images.map((id) => (labelled ? { id, ...pathOf(id) } : { id, image: pathOf(id).image }));
  return new FileDataset('cityscapes', root, split, samples, CITYSCAPES_LABEL_TO_TRAIN_ID);
}
