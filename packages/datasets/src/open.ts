// Opening a dataset by the name of its format, and telling the format of a folder.
import path from 'node:path';
import { DatasetError, fault } from './errors.js';
import { isFile, isFolder, type ReaderOptions } from './files/list.js';
import { type DatasetFormat, PUBLISHED_SPLITS, type PublishedSplit } from './formats.js';
import type { ValueRange } from './images/index.js';
import { ACDC_CONDITIONS, openAcdc, openDarkZurich } from './readers/adverse.js';
import { openBdd100k } from './readers/bdd100k.js';
import { camvidSplits, isCamvid, openCamvid } from './readers/camvid.js';
import { openCityscapes } from './readers/cityscapes.js';
import { withRange } from './readers/file-dataset.js';
import { openFolder } from './readers/folder.js';
import { openGta5 } from './readers/gta5.js';
import { openSynthia } from './readers/synthia.js';
import type { ClassInfo, SegmentationDataset } from './types.js';

/** What {@link openDataset} opens. */
export interface OpenOptions extends ReaderOptions {
  readonly format: DatasetFormat;
  readonly root: string;
  /** Default: what one trains on, see {@link trainingSplit}. */
  readonly split?: string | undefined;
  /** Of the format `folder` only: a class file, or the classes themselves; see `openFolder`. */
  readonly classes?: string | readonly ClassInfo[] | undefined;
  /** Of images of more than 8 bits: the stored numbers that are black and white; default: the whole scale. */
  readonly range?: ValueRange | undefined;
}

/**
 * Opens a split of a dataset. Pixels are read later, sample by sample.
 * @throws {DatasetError} when the folder is not as the format says; see the format's own function
 */
export async function openDataset(options: OpenOptions): Promise<SegmentationDataset> {
  const dataset = await openFormat(options);
  return options.range === undefined ? dataset : withRange(dataset, options.range);
}

async function openFormat(options: OpenOptions): Promise<SegmentationDataset> {
  const { format, root, onFault, onNote, classes } = options;
  const heard = { onFault, onNote };
  if (format !== 'folder' && classes !== undefined) {
    throw new DatasetError(`${root}: ${format} has classes of its own; leave the list of classes out`);
  }
  const split = options.split ?? (await trainingSplit(format, root));
  switch (format) {
    case 'gta5':
      return openGta5(root, { split, ...heard });
    case 'synthia':
      return openSynthia(root, { split, ...heard });
    case 'cityscapes':
      return openCityscapes(root, published(options, split), heard);
    case 'acdc':
      return openAcdc(root, published(options, split), heard);
    case 'dark-zurich':
      return openDarkZurich(root, published(options, split), heard);
    case 'bdd100k':
      return openBdd100k(root, published(options, split), heard);
    case 'camvid':
      return openCamvid(root, split, heard);
    case 'folder':
      return openFolder(root, split, { classes, ...heard });
  }
}

function published({ root, format }: OpenOptions, split: string): PublishedSplit {
  const known = PUBLISHED_SPLITS.find((name) => name === split);
  if (known !== undefined) return known;
  throw new DatasetError(`${root}: ${format} has no split '${split}'; it has ${PUBLISHED_SPLITS.join(', ')}`);
}

/** The split that one trains on: all of GTA5 and SYNTHIA, and of a folder without splits; `train` elsewhere. */
export async function trainingSplit(format: DatasetFormat, root: string): Promise<string> {
  const splits = await availableSplits(format, root);
  return splits.includes('train') || !splits.includes('all') ? 'train' : 'all';
}

/** The splits whose images are there, in the order all, train, val, test; for a check of everything. */
export async function availableSplits(format: DatasetFormat, root: string): Promise<string[]> {
  const under = (...parts: string[]) => isFolder(path.join(root, ...parts));
  const foundBy = async (test: (split: string) => Promise<boolean>) => {
    const found = await Promise.all(PUBLISHED_SPLITS.map(test));
    return PUBLISHED_SPLITS.filter((_, i) => found[i]);
  };
  switch (format) {
    case 'gta5':
    case 'synthia':
      return ['all'];
    case 'cityscapes':
      return foundBy((split) => under('leftImg8bit', split));
    case 'acdc':
    case 'dark-zurich':
      return foundBy(async (split) => {
        const conditions = format === 'acdc' ? ACDC_CONDITIONS : ['night'];
        const found = await Promise.all(
          conditions.flatMap((c) => [under('rgb_anon', c, split), under('rgb_anon', split, c)]),
        );
        return found.includes(true);
      });
    case 'bdd100k':
      return foundBy(
        async (split) => (await under('images', '10k', split)) || (await under('seg', 'images', split)),
      );
    case 'camvid':
      return camvidSplits(root);
    case 'folder': {
      const lists = (await under('SegmentationClass')) ? path.join(root, 'ImageSets', 'Segmentation') : root;
      const found = await foundBy(
        async (split) => (await under('images', split)) || (await isFile(path.join(lists, `${split}.txt`))),
      );
      return found.length > 0 ? found : ['all'];
    }
  }
}

/**
 * Tells the format of a folder from the folders in it.
 * @throws {DatasetError} when it is none of the known formats
 */
export async function detectFormat(root: string): Promise<DatasetFormat> {
  const under = (...parts: string[]) => isFolder(path.join(root, ...parts));
  const any = async (...folders: string[][]) =>
    (await Promise.all(folders.map((parts) => under(...parts)))).includes(true);
  if (await under('leftImg8bit')) return 'cityscapes';
  if (await under('rgb_anon')) {
    const weather = ['fog', 'rain', 'snow'].flatMap((condition) => [
      ['rgb_anon', condition],
      ...PUBLISHED_SPLITS.map((split) => ['rgb_anon', split, condition]),
    ]);
    return (await any(...weather)) ? 'acdc' : 'dark-zurich';
  }
  if (await under('RGB')) return 'synthia';
  if (await any(['images', '10k'], ['seg', 'images'])) return 'bdd100k';
  if (await isCamvid(root)) return 'camvid';
  if (await under('SegmentationClass')) return 'folder';
  if ((await under('images')) && (await under('labels'))) return 'gta5';
  if (await under('images')) return 'folder';
  throw fault(
    'missing',
    root,
    `no dataset of a known layout; expected one of leftImg8bit (cityscapes), rgb_anon (acdc, dark-zurich), RGB (synthia), images/10k (bdd100k), train + trainannot (camvid), images + labels (gta5), images + masks or SegmentationClass (folder)`,
  );
}
