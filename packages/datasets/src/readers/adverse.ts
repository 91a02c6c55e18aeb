// Readers of ACDC and Dark Zurich: rgb_anon images and gt labels of streets in fog, rain, snow and at night.
import path from 'node:path';
import { cityscapesClasses } from '../classes/cityscapes.js';
import { isFolder, listFiles, type ReaderOptions } from '../files/list.js';
import { PUBLISHED_SPLITS, type PublishedSplit } from '../formats.js';
import type { SegmentationDataset } from '../types.js';
import { FileDataset, samplesOfSplit } from './file-dataset.js';
import { type DatasetReader, publishedSplit, splitsBy } from './reader.js';

export const ACDC_CONDITIONS = ['fog', 'night', 'rain', 'snow'] as const;
export type AcdcCondition = (typeof ACDC_CONDITIONS)[number];

export const DARK_ZURICH_CONDITIONS = ['day', 'twilight', 'night'] as const;
export type DarkZurichCondition = (typeof DARK_ZURICH_CONDITIONS)[number];

export interface AdverseOptions<Condition extends string> extends ReaderOptions {
  /** Which conditions' images to take; default of ACDC: all, of Dark Zurich: night. */
  readonly conditions?: readonly Condition[];
}

const IMAGE_SUFFIX = '_rgb_anon.png';
const TRAIN_ID_SUFFIX = '_gt_labelTrainIds.png';
const LABEL_ID_SUFFIX = '_gt_labelIds.png';

/**
 * Opens a split of ACDC (Sakaridis et al., ICCV 2021): `root/rgb_anon/CONDITION/SPLIT/SEQUENCE/*_rgb_anon.png` with
 * `root/gt/.../*_gt_labelTrainIds.png` or `*_gt_labelIds.png`; SPLIT/CONDITION, as some projects rearrange it, is read
 * too. Labels may be absent as a whole.
 * @throws {DatasetError} when a folder is missing or empty; also, unless there is an `onFault`, when an image or label
 * lacks its partner or a link leads in a circle
 */
export function openAcdc(
  root: string,
  split: PublishedSplit,
  { conditions = ACDC_CONDITIONS, ...heard }: AdverseOptions<AcdcCondition> = {},
): Promise<SegmentationDataset> {
  return open({ name: 'acdc', root, split, conditions, ...heard });
}

/**
 * Opens a split of Dark Zurich (Sakaridis et al., ICCV 2019): `root/rgb_anon/SPLIT/CONDITION/SEQUENCE/*_rgb_anon.png`;
 * only the night images of `val` have labels, `root/gt/val/night/SEQUENCE/*_gt_labelTrainIds.png` or
 * `*_gt_labelIds.png`.
 * @throws {DatasetError} as {@link openAcdc}
 */
export function openDarkZurich(
  root: string,
  split: PublishedSplit,
  { conditions = ['night'], ...heard }: AdverseOptions<DarkZurichCondition> = {},
): Promise<SegmentationDataset> {
  return open({ name: 'dark-zurich', root, split, conditions, ...heard });
}

interface Request extends ReaderOptions {
  readonly name: 'acdc' | 'dark-zurich';
  readonly root: string;
  readonly split: string;
  readonly conditions: readonly string[];
}

async function open(request: Request): Promise<SegmentationDataset> {
  const { name, root, split, conditions, labels: use, onFault, onNote } = request;
  const images = new Map<string, string>();
  const labels = new Map<string, string>();
  const byTrainId = use === 'none' || (await holdsTrainIds(root, split, conditions));
  const suffix = byTrainId ? TRAIN_ID_SUFFIX : LABEL_ID_SUFFIX;
  const folders = new Map<string, string>();
  for (const condition of conditions) {
    const folder = await arranged(path.join(root, 'rgb_anon'), condition, split);
    folders.set(condition, folder);
    const what = `${name} ${split} images of ${condition}`;
    merge(images, condition, await listFiles(folder, { what, endings: [IMAGE_SUFFIX], onFault, onNote }));
    const gt = await arranged(path.join(root, 'gt'), condition, split);
    if (use === 'none' || !(await isFolder(gt))) continue;
    const labelsHere = `${name} ${split} labels of ${condition}`;
    merge(labels, condition, await listFiles(gt, { what: labelsHere, endings: [suffix], onFault, onNote }));
  }
  const place = (kind: string, end: string) => (id: string) => {
    const [condition = '', ...rest] = id.split('/');
    const folder = folders.get(condition)!.replace(path.join(root, 'rgb_anon'), path.join(root, kind));
    return path.join(folder, ...rest) + end;
  };
  const samples = await samplesOfSplit({
    images,
    split,
    labels: use,
    labelFolder: path.join(root, 'gt'),
    findLabels: async () => (labels.size > 0 ? labels : undefined),
    imageOf: place('rgb_anon', IMAGE_SUFFIX),
    labelOf: place('gt', suffix),
    onFault,
  });
  return new FileDataset({
    name,
    root,
    split,
    samples,
    ...cityscapesClasses(byTrainId ? 'trainIds' : 'labelIds'),
  });
}

/** CONDITION/SPLIT or SPLIT/CONDITION, whichever is there; the first of them where neither is. */
async function arranged(folder: string, condition: string, split: string): Promise<string> {
  const conditionFirst = path.join(folder, condition, split);
  const splitFirst = path.join(folder, split, condition);
  return (await isFolder(conditionFirst)) || !(await isFolder(splitFirst)) ? conditionFirst : splitFirst;
}

async function holdsTrainIds(root: string, split: string, conditions: readonly string[]): Promise<boolean> {
  for (const condition of conditions) {
    const folder = await arranged(path.join(root, 'gt'), condition, split);
    if (!(await isFolder(folder))) continue;
    const found = await listFiles(folder, {
      what: 'labels',
      endings: [TRAIN_ID_SUFFIX, LABEL_ID_SUFFIX],
      onFault: () => {},
    }).catch(() => new Map<string, string>());
    if ([...found.values()].some((file) => file.endsWith(TRAIN_ID_SUFFIX))) return true;
    if (found.size > 0) return false;
  }
  return true;
}

function merge(all: Map<string, string>, condition: string, found: ReadonlyMap<string, string>): void {
  for (const [id, file] of found) all.set(`${condition}/${id}`, file);
}

/** Of ACDC the weather tells, which Dark Zurich does not have. */
async function hasWeather(root: string): Promise<boolean> {
  const folders = ['fog', 'rain', 'snow'].flatMap((condition) => [
    ['rgb_anon', condition],
    ...PUBLISHED_SPLITS.map((split) => ['rgb_anon', split, condition]),
  ]);
  const found = await Promise.all(folders.map((parts) => isFolder(path.join(root, ...parts))));
  return found.includes(true);
}

function readerOf(
  name: 'acdc' | 'dark-zurich',
  conditions: readonly string[],
  openSplit: (root: string, split: PublishedSplit, options: ReaderOptions) => Promise<SegmentationDataset>,
): DatasetReader {
  return {
    detect: async (root) => {
      if (!(await isFolder(path.join(root, 'rgb_anon')))) return undefined;
      const weather = await hasWeather(root);
      if (weather !== (name === 'acdc')) return undefined;
      return weather ? 'rgb_anon/ with folders of weather' : 'rgb_anon/ without folders of weather';
    },
    splits: (root) =>
      splitsBy(async (split) => {
        const orders = conditions.flatMap((condition) => [
          [condition, split],
          [split, condition],
        ]);
        const found = await Promise.all(
          orders.map((parts) => isFolder(path.join(root, 'rgb_anon', ...parts))),
        );
        return found.includes(true);
      }),
    open: (root, split, options) => openSplit(root, publishedSplit(root, name, split), options),
  };
}

export const acdcReader: DatasetReader = readerOf('acdc', ACDC_CONDITIONS, openAcdc);
export const darkZurichReader: DatasetReader = readerOf('dark-zurich', ['night'], openDarkZurich);
