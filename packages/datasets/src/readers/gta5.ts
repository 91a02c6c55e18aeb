// Reader of GTA5 ("Playing for Data"): images/NNNNN.png and palette labels of the same name.
import path from 'node:path';
import { CITYSCAPES_CLASSES, GTA5_LABEL_TO_TRAIN_ID } from '../classes/cityscapes.js';
import { DatasetError } from '../errors.js';
import { IMAGE_ENDINGS, listFiles, type ReaderOptions } from '../files/list.js';
import { imageSize } from '../images/index.js';
import type { Sample, SegmentationDataset } from '../types.js';
import { FileDataset, samplesOfSplit } from './file-dataset.js';
import { labelIdEvidence } from './label-id-evidence.js';
import type { DatasetReader } from './reader.js';
import { selectIds, splitIds } from './splits.js';

export interface Gta5Options extends ReaderOptions {
  /** Only these samples, such as ['00001', '00002']; default: the samples of `split`. */
  readonly ids?: readonly string[];
  /**
   * Default, or 'all': every image, as work on domain adaptation trains on. Otherwise a split by `root/SPLIT.txt` or
   * the `root/split.mat` that GTA5 publishes (train, val, test); with `ids`, only the name of the selection.
   */
  readonly split?: string;
}

/** In the published archive images and labels of these numbers differ in size. */
const DAMAGED_UPSTREAM: readonly (readonly [first: number, last: number])[] = [
  [15188, 15188],
  [17705, 17705],
  [20803, 20834],
  [20858, 20860],
];

/** Files that preparation scripts of other projects leave beside the labels. */
export const isDerivedLabel = (id: string): boolean => id.endsWith('_labelTrainIds');

/**
 * Opens GTA5 (Richter et al., "Playing for Data", ECCV 2016): `root/images/*.png` with `root/labels/*.png`,
 * palette PNGs whose index is the Cityscapes label id. The samples of the published archive that are known for images
 * and labels of different sizes are left out where they really differ.
 * @throws {DatasetError} when a folder is missing or empty, `split` is not defined or `ids` is empty; also, unless
 * there is an `onFault`, when an image or label lacks its partner, an id does not exist or a link leads in a circle
 */
export async function openGta5(root: string, options: Gta5Options = {}): Promise<SegmentationDataset> {
  const { split = 'all', labels, onFault, onNote } = options;
  const imageOf = (id: string) => path.join(root, 'images', `${id}.png`);
  const labelOf = (id: string) => path.join(root, 'labels', `${id}.png`);
  const heard = { onFault, onNote };
  const found = await listFiles(path.join(root, 'images'), {
    what: 'GTA5 images',
    endings: IMAGE_ENDINGS,
    ...heard,
  });
  const otherwise = `nothing defines the split '${split}'; put GTA5's split.mat or a ${split}.txt here, or use 'all'`;
  const ids = options.ids ?? (await splitIds(root, split, found, otherwise));
  if (ids?.length === 0) {
    throw new DatasetError('gta5: `ids` is empty; name at least one sample or leave it out');
  }
  const labelFolder = path.join(root, 'labels');
  const labelSearch = { what: 'GTA5 labels', endings: ['.png'], except: isDerivedLabel, ...heard };
  const pairs = await samplesOfSplit({
    images: selectIds(found, ids, imageOf, onFault),
    split,
    labels,
    labelFolder,
    findLabels: async () => selectIds(await listFiles(labelFolder, labelSearch), ids, labelOf, onFault),
    imageOf,
    labelOf,
    onFault,
  });
  const samples: Sample[] = [];
  for (const sample of pairs) {
    if (sample.label === undefined || !isKnownDamaged(sample.id) || (await sameSize(sample)))
      samples.push(sample);
  }
  return new FileDataset({
    name: 'gta5',
    root,
    split,
    classes: CITYSCAPES_CLASSES,
    labelCoding: { kind: 'values', table: GTA5_LABEL_TO_TRAIN_ID },
    samples,
  });
}

function isKnownDamaged(id: string): boolean {
  const number = Number(id);
  return DAMAGED_UPSTREAM.some(([first, last]) => number >= first && number <= last);
}

async function sameSize({ image, label }: Sample): Promise<boolean> {
  try {
    const [a, b] = await Promise.all([imageSize(image), imageSize(label!)]);
    return a.width === b.width && a.height === b.height;
  } catch {
    // Reading the sample will say what is wrong with it.
    return true;
  }
}

export const gta5Reader: DatasetReader = {
  detect: async (root) => {
    const evidence = await labelIdEvidence(root);
    return evidence?.labelIds ? `images/ and labels/, ${evidence.why}` : undefined;
  },
  splits: async () => ['all'],
  open: (root, split, options) => openGta5(root, { ...options, split }),
};
