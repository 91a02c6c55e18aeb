// Opening a dataset by the name of its format, and telling the format of a folder.
import path from 'node:path';
import { formatOfCopy } from './cache.js';
import { DatasetError, fault } from './errors.js';
import { DATASET_FORMATS, type DatasetFormat } from './formats.js';
import type { ValueRange } from './images/index.js';
import { acdcReader, darkZurichReader } from './readers/adverse.js';
import { bdd100kReader } from './readers/bdd100k.js';
import { camvidReader } from './readers/camvid.js';
import { cityscapesReader } from './readers/cityscapes.js';
import { cocoReader } from './readers/coco.js';
import { withRange } from './readers/file-dataset.js';
import { folderReader } from './readers/folder.js';
import { gta5Reader } from './readers/gta5.js';
import { iddReader } from './readers/idd.js';
import { kittiReader } from './readers/kitti.js';
import { labelStudioReader } from './readers/label-studio.js';
import { mapillaryReader } from './readers/mapillary.js';
import { otherAnnotations } from './readers/other-annotations.js';
import { foldersIn } from './readers/own-layout.js';
import { photosReader } from './readers/photos.js';
import type { DatasetReader, SplitOptions } from './readers/reader.js';
import { roboflowReader } from './readers/roboflow.js';
import { superviselyReader } from './readers/supervisely.js';
import { synthiaReader } from './readers/synthia.js';
import type { SegmentationDataset } from './types.js';

/** What {@link openDataset} opens. */
export interface OpenOptions extends SplitOptions {
  readonly format: DatasetFormat;
  readonly root: string;
  /** Default: what one trains on, see {@link trainingSplit}. */
  readonly split?: string | undefined;
  /** Of images of more than 8 bits: the stored numbers that are black and white; default: the whole scale. */
  readonly range?: ValueRange | undefined;
}

/** In the order in which a folder is looked at: the more a layout asks for, the earlier. */
const READERS: Readonly<Record<DatasetFormat, DatasetReader>> = {
  idd: iddReader,
  cityscapes: cityscapesReader,
  acdc: acdcReader,
  'dark-zurich': darkZurichReader,
  synthia: synthiaReader,
  bdd100k: bdd100kReader,
  camvid: camvidReader,
  mapillary: mapillaryReader,
  kitti: kittiReader,
  coco: cocoReader,
  supervisely: superviselyReader,
  'label-studio': labelStudioReader,
  roboflow: roboflowReader,
  gta5: gta5Reader,
  folder: folderReader,
  photos: photosReader,
};

/**
 * Opens a split of a dataset. Pixels are read later, sample by sample.
 * @throws {DatasetError} when the folder is not as the format says; see the format's own function
 */
export async function openDataset(options: OpenOptions): Promise<SegmentationDataset> {
  const { format, root, split, range, ...rest } = options;
  if (format !== 'folder' && options.classes !== undefined) {
    throw new DatasetError(`${root}: ${format} has classes of its own; leave the list of classes out`);
  }
  const dataset = await READERS[format].open(root, split ?? (await trainingSplit(format, root)), rest);
  return range === undefined ? dataset : withRange(dataset, range);
}

/** The split that one trains on: all of GTA5 and SYNTHIA, and of a folder without splits; `train` elsewhere. */
export async function trainingSplit(format: DatasetFormat, root: string): Promise<string> {
  const splits = await availableSplits(format, root);
  return splits.includes('train') || !splits.includes('all') ? 'train' : 'all';
}

/** The splits whose images are there, in the order all, train, val, test; for a check of everything. */
export async function availableSplits(format: DatasetFormat, root: string): Promise<string[]> {
  return READERS[format].splits(root);
}

/** The layout of a folder, and what tells it. */
export interface DetectedLayout {
  readonly format: DatasetFormat;
  /** In words, such as 'leftImg8bit/'. */
  readonly why: string;
}

const A_COPY = 'a copy by pgpc data cache';
/** Folders of data sets in a folder that is none, as a message names them. */
const MOST_NAMED = 3;

/** The layout that the folder itself tells. */
async function layoutTold(root: string): Promise<DetectedLayout | undefined> {
  const copiedFormat = await formatOfCopy(root);
  const copied = DATASET_FORMATS.find((format) => format === copiedFormat);
  if (copied !== undefined) return { format: copied, why: A_COPY };
  for (const [format, reader] of Object.entries(READERS)) {
    const why = await reader.detect(root);
    if (why !== undefined) return { format: format as DatasetFormat, why };
  }
  return undefined;
}

/**
 * Tells the layout of a folder from what is in it: names of folders and files, lists of classes, values of labels.
 * @throws {DatasetError} when it is none of the known ones
 */
export async function detectLayout(root: string): Promise<DetectedLayout> {
  const found = await layoutTold(root);
  if (found !== undefined) return found;
  const below: string[] = [];
  for (const folder of await foldersIn(root)) {
    const inside = path.join(root, folder);
    const found = below.length < MOST_NAMED ? await layoutTold(inside) : undefined;
    if (found) below.push(`${inside} (${found.format}: ${found.why})`);
  }
  const hint = below.length > 0 ? `; name the folder of one data set, such as ${below.join(' or ')}` : '';
  throw fault(
    'missing',
    root,
    `no images in a known layout: ${DATASET_FORMATS.join(', ')}, see the guide to datasets${hint}${await otherAnnotations(root)}`,
  );
}

/** The layout alone. @throws {DatasetError} as {@link detectLayout} */
export async function detectFormat(root: string): Promise<DatasetFormat> {
  return (await detectLayout(root)).format;
}

/** A layout and what tells it, in words for people; also of a folder whose layout was given. */
export async function describeLayout(format: DatasetFormat, root: string): Promise<string> {
  const isCopy = (await formatOfCopy(root)) === format;
  const why = isCopy ? A_COPY : await READERS[format].detect(root);
  return `${format} in ${root} (${why ?? 'as asked for: the folder itself does not tell'})`;
}
