// Reader of SYNTHIA-RAND-CITYSCAPES: RGB/NNNNNNN.png and 16-bit labels GT/LABELS/NNNNNNN.png.
import path from 'node:path';
import { CITYSCAPES_CLASSES } from '../classes/cityscapes.js';
import { fault } from '../errors.js';
import { IMAGE_ENDINGS, isFolder, listFiles, type ReaderOptions } from '../files/list.js';
import { IGNORE_INDEX, type SegmentationDataset, UNKNOWN_LABEL } from '../types.js';
import { FileDataset, samplesOfSplit } from './file-dataset.js';
import { isDerivedLabel } from './gta5.js';
import type { DatasetReader } from './reader.js';
import { selectIds, splitIds } from './splits.js';

export interface SynthiaOptions extends ReaderOptions {
  /** Default, or 'all': every image. Otherwise a split by `root/SPLIT.txt`; the dataset itself has none. */
  readonly split?: string;
}

/** SYNTHIA's label ids by the name of the Cityscapes class that they stand for; 16, 18 and 20 never occur. */
const LABEL_IDS: Readonly<Record<string, number>> = {
  sky: 1,
  building: 2,
  road: 3,
  sidewalk: 4,
  fence: 5,
  vegetation: 6,
  pole: 7,
  car: 8,
  'traffic sign': 9,
  person: 10,
  bicycle: 11,
  motorcycle: 12,
  'traffic light': 15,
  terrain: 16,
  rider: 17,
  truck: 18,
  bus: 19,
  train: 20,
  wall: 21,
};

/** They have an id, but no image shows them. */
const NEVER_SHOWN: readonly number[] = [16, 18, 20];

/** Void, parking slot, road work and lane marking: no class of Cityscapes. */
const IGNORED_LABEL_IDS: readonly number[] = [0, 13, 14, 22];

/**
 * Table from SYNTHIA's label ids (0..22) to Cityscapes' trainIds, as in the README of SYNTHIA-RAND-CITYSCAPES and the
 * work on adaptation from it (Tsai et al., CVPR 2018; Hoyer et al., CVPR 2022).
 */
export const SYNTHIA_LABEL_TO_TRAIN_ID: Uint8Array = new Uint8Array(256).fill(UNKNOWN_LABEL);
for (const { name, trainId } of CITYSCAPES_CLASSES) SYNTHIA_LABEL_TO_TRAIN_ID[LABEL_IDS[name]!] = trainId;
for (const labelId of IGNORED_LABEL_IDS) SYNTHIA_LABEL_TO_TRAIN_ID[labelId] = IGNORE_INDEX;

/** The id under which SYNTHIA shows a Cityscapes class; 0, void, for what it never shows. */
export function synthiaLabelId(trainId: number): number {
  const labelId = trainId === IGNORE_INDEX ? 0 : SYNTHIA_LABEL_TO_TRAIN_ID.indexOf(trainId);
  return labelId < 0 || NEVER_SHOWN.includes(labelId) ? 0 : labelId;
}

/**
 * Opens SYNTHIA-RAND-CITYSCAPES (Ros et al., CVPR 2016): `root/RGB/*.png` with `root/GT/LABELS/*.png`, PNGs of 16 bits
 * a channel whose first channel is the class (the second counts instances). Terrain, truck and train do not occur.
 * @throws {DatasetError} when a folder is missing or empty, or `split` is not defined; also, unless there is an
 * `onFault`, when an image or label lacks its partner, a listed name does not exist or a link leads in a circle
 */
export async function openSynthia(root: string, options: SynthiaOptions = {}): Promise<SegmentationDataset> {
  const { split = 'all', labels, onFault, onNote } = options;
  const imageOf = (id: string) => path.join(root, 'RGB', `${id}.png`);
  const labelOf = (id: string) => path.join(root, 'GT', 'LABELS', `${id}.png`);
  const heard = { onFault, onNote };
  const found = await listFiles(path.join(root, 'RGB'), {
    what: 'SYNTHIA images',
    endings: IMAGE_ENDINGS,
    ...heard,
  });
  const ids = split === 'all' ? undefined : await idsOf(root, split, found);
  const selected = (files: ReadonlyMap<string, string>, fileOf: (id: string) => string) =>
    ids === undefined ? files : selectIds(files, ids, fileOf, onFault);
  const labelFolder = path.join(root, 'GT', 'LABELS');
  const labelSearch = { what: 'SYNTHIA labels', endings: ['.png'], except: isDerivedLabel, ...heard };
  const samples = await samplesOfSplit({
    images: selected(found, imageOf),
    split,
    labels,
    labelFolder,
    findLabels: async () => selected(await listFiles(labelFolder, labelSearch), labelOf),
    imageOf,
    labelOf,
    onFault,
  });
  return new FileDataset({
    name: 'synthia',
    root,
    split,
    classes: CITYSCAPES_CLASSES.map((info) => ({ ...info, labelId: LABEL_IDS[info.name]! })),
    labelCoding: { kind: 'first-of-16-bit', table: SYNTHIA_LABEL_TO_TRAIN_ID },
    samples,
  });
}

async function idsOf(root: string, split: string, images: ReadonlyMap<string, string>): Promise<string[]> {
  const ids = await splitIds(root, split, images);
  if (ids !== undefined) return ids;
  throw fault(
    'missing',
    root,
    `nothing defines the split '${split}' of SYNTHIA; put a ${split}.txt here, or use 'all'`,
  );
}

export const synthiaReader: DatasetReader = {
  detect: async (root) => ((await isFolder(path.join(root, 'RGB'))) ? 'RGB/' : undefined),
  splits: async () => ['all'],
  open: (root, split, options) => openSynthia(root, { ...options, split }),
};
