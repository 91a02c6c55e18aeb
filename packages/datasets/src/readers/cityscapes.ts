// Reader of Cityscapes: leftImg8bit/SPLIT/CITY images and gtFine/SPLIT/CITY label ids.
import path from 'node:path';
import { CITYSCAPES_CLASSES, CITYSCAPES_LABEL_TO_TRAIN_ID } from '../classes/cityscapes.js';
import { listFiles, type ReaderOptions } from '../files/list.js';
import type { PublishedSplit } from '../formats.js';
import type { SegmentationDataset } from '../types.js';
import { FileDataset, samplesOfFolders } from './file-dataset.js';

const IMAGE_SUFFIX = '_leftImg8bit.png';
const LABEL_SUFFIX = '_gtFine_labelIds.png';

/**
 * Opens a split of Cityscapes (Cordts et al., CVPR 2016): `root/leftImg8bit/SPLIT/CITY/*_leftImg8bit.png` with
 * `root/gtFine/SPLIT/CITY/*_gtFine_labelIds.png`. Label ids become trainIds as they are read; no other label
 * file is needed. The labels of `train` and `test` may be absent as a whole (no folder `gtFine/SPLIT`): the
 * samples then carry none. The labels of `val` must be there.
 * @throws {DatasetError} when a folder is missing or empty; also, unless there is an `onFault`, when an image or label
 * lacks its partner or a link leads in a circle
 */
export async function openCityscapes(
  root: string,
  split: PublishedSplit,
  { onFault, onNote }: ReaderOptions = {},
): Promise<SegmentationDataset> {
  const imageFolder = path.join(root, 'leftImg8bit', split);
  const labelFolder = path.join(root, 'gtFine', split);
  const images = await listFiles(imageFolder, {
    what: `Cityscapes ${split} images`,
    endings: [IMAGE_SUFFIX],
    onFault,
    onNote,
  });
  const samples = await samplesOfFolders({
    images,
    labelFolder,
    labelSearch: { what: `Cityscapes ${split} labels`, endings: [LABEL_SUFFIX], onFault, onNote },
    imageOf: (id) => path.join(imageFolder, id + IMAGE_SUFFIX),
    labelOf: (id) => path.join(labelFolder, id + LABEL_SUFFIX),
    needsLabels: split === 'val',
    onFault,
  });
  return new FileDataset({
    name: 'cityscapes',
    root,
    split,
    classes: CITYSCAPES_CLASSES,
    labelCoding: { kind: 'values', table: CITYSCAPES_LABEL_TO_TRAIN_ID },
    samples,
  });
}
