// Reader of Cityscapes: leftImg8bit/SPLIT/CITY images and gtFine/SPLIT/CITY label ids.
import path from 'node:path';
import { cityscapesClasses } from '../classes/cityscapes.js';
import { DatasetError, fault } from '../errors.js';
import { isFolder, listFiles, type ReaderOptions } from '../files/list.js';
import type { PublishedSplit } from '../formats.js';
import type { SegmentationDataset } from '../types.js';
import { FileDataset, labelsIn, samplesOfSplit } from './file-dataset.js';
import { type DatasetReader, publishedSplit, splitsBy } from './reader.js';

const IMAGE_SUFFIX = '_leftImg8bit.png';
const LABEL_ID_SUFFIX = '_gtFine_labelIds.png';
const TRAIN_ID_SUFFIX = '_gtFine_labelTrainIds.png';

/**
 * Opens a split of Cityscapes (Cordts et al., CVPR 2016): `root/leftImg8bit/SPLIT/CITY/*_leftImg8bit.png` with
 * `root/gtFine/SPLIT/CITY/*_gtFine_labelIds.png`. Label ids become trainIds as they are read; where no file of that
 * name is there, `*_gtFine_labelTrainIds.png` is read. Labels may be absent as a whole (no folder
 * `gtFine/SPLIT`): the samples then carry none.
 * @throws {DatasetError} when a folder is missing or empty; also, unless there is an `onFault`, when an image or label
 * lacks its partner or a link leads in a circle
 */
export async function openCityscapes(
  root: string,
  split: PublishedSplit,
  { labels, onFault, onNote }: ReaderOptions = {},
): Promise<SegmentationDataset> {
  const imageFolder = path.join(root, 'leftImg8bit', split);
  const labelFolder = path.join(root, 'gtFine', split);
  const images = await listFiles(imageFolder, {
    what: `Cityscapes ${split} images`,
    endings: [IMAGE_SUFFIX],
    onFault,
    onNote,
  });
  const byTrainId = labels !== 'none' && (await holdsTrainIds(labelFolder));
  const suffix = byTrainId ? TRAIN_ID_SUFFIX : LABEL_ID_SUFFIX;
  const labelSearch = { what: `Cityscapes ${split} labels`, endings: [suffix], onFault, onNote };
  const samples = await samplesOfSplit({
    images,
    split,
    labels,
    labelFolder,
    findLabels: () => labelsIn(labelFolder, labelSearch)().catch(withPolygons),
    imageOf: (id) => path.join(imageFolder, id + IMAGE_SUFFIX),
    labelOf: (id) => path.join(labelFolder, id + suffix),
    onFault,
  });
  return new FileDataset({
    name: 'cityscapes',
    root,
    split,
    samples,
    ...cityscapesClasses(byTrainId ? 'trainIds' : 'labelIds'),
  });
}

/** The scripts' polygons alone are a common state of the folder. */
function withPolygons(error: unknown): never {
  if (!(error instanceof DatasetError) || error.kind !== 'empty') throw error;
  throw fault(
    'empty',
    error.file!,
    `no files *${LABEL_ID_SUFFIX} here, which gtFine_trainvaltest.zip has; of polygons (*_polygons.json) cityscapesScripts' createTrainIdLabelImgs draws *${TRAIN_ID_SUFFIX}`,
    error,
  );
}

/** Whether a label folder has labels by trainId and none by label id. */
async function holdsTrainIds(folder: string): Promise<boolean> {
  if (!(await isFolder(folder))) return false;
  const endings = [TRAIN_ID_SUFFIX, LABEL_ID_SUFFIX];
  const found = await listFiles(folder, { what: 'labels', endings, onFault: () => {} }).catch(
    () => undefined,
  );
  if (found === undefined) return false;
  const files = [...found.values()];
  return !files.some((file) => file.endsWith(LABEL_ID_SUFFIX));
}

export const cityscapesReader: DatasetReader = {
  detect: async (root) => ((await isFolder(path.join(root, 'leftImg8bit'))) ? 'leftImg8bit/' : undefined),
  splits: (root) => splitsBy((split) => isFolder(path.join(root, 'leftImg8bit', split))),
  open: (root, split, options) => openCityscapes(root, publishedSplit(root, 'cityscapes', split), options),
};
