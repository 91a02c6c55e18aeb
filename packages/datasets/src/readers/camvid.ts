// Reader of CamVid: SPLIT with SPLITannot (SegNet's 11 classes, CVAT's export), or the original with its 32 colours.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { CAMVID_11, CAMVID_32 } from '../classes/camvid.js';
import type { ClassDefinition } from '../classes/class-file.js';
import { COLOR_LISTS } from '../classes/color-list.js';
import { findClassFile, readFoundClasses } from '../classes/find.js';
import { fault } from '../errors.js';
import { IMAGE_ENDINGS, isFile, isFolder, listFiles, type ReaderOptions } from '../files/list.js';
import { PUBLISHED_SPLITS } from '../formats.js';
import { readPng } from '../images/index.js';
import type { Sample, SegmentationDataset } from '../types.js';
import { FileDataset, labelsIn, samplesOfSplit } from './file-dataset.js';
import type { DatasetReader } from './reader.js';
import { readNameList, selectIds } from './splits.js';

/** Of the original archives. */
const ORIGINAL_IMAGES = ['701_StillsRaw_full', 'images'];
const ORIGINAL_LABELS = 'LabeledApproved_full';
/** The folder of CVAT's export of a task without subsets. */
const WITHOUT_SPLITS = 'default';

interface Folders {
  readonly images: string;
  readonly labels: string;
}

/**
 * Opens CamVid (Brostow, Fauqueur, Cipolla 2009), in one of two layouts:
 * - `root/SPLIT` with `root/SPLITannot`: SegNet's version of 11 classes, or CVAT's export "CamVid";
 * - `root/701_StillsRaw_full` with `root/LabeledApproved_full/*_L.png`, the original; split 'all' takes all.
 *
 * A list of names `root/SPLIT.txt` selects from the folder, so that a split can be the images of some sequences. Labels
 * of one channel hold SegNet's classes, coloured ones the original's or a list's in the root (see
 * `readColorList`); a class file in the root (see `readClassFile`) comes before all of them.
 * @throws {DatasetError} when a folder is missing or empty, or `split` is not defined; also, unless there is an
 * `onFault`, when an image or label lacks its partner, a listed name does not exist or a link leads in a circle
 */
export async function openCamvid(
  root: string,
  split: string,
  options: ReaderOptions = {},
): Promise<SegmentationDataset> {
  const { labels, onFault } = options;
  const folders = await foldersOf(root, split);
  const imageOf = (id: string) => path.join(folders.images, `${id}.png`);
  const suffix = path.basename(folders.labels) === ORIGINAL_LABELS ? '_L.png' : '.png';
  const labelOf = (id: string) => path.join(folders.labels, `${id}${suffix}`);
  let images: ReadonlyMap<string, string> = await listFiles(folders.images, {
    what: 'CamVid images',
    endings: IMAGE_ENDINGS,
    ...options,
  });
  const list = path.join(root, `${split}.txt`);
  const keep = (await isFile(list)) ? new Set((await readNameList(list, images)).map(imageName)) : undefined;
  if (keep !== undefined) images = selectIds(images, [...keep], imageOf, onFault);
  const labelSearch = {
    what: 'CamVid labels',
    endings: [suffix],
    ...(keep && { except: (id: string) => !keep.has(id) }),
    ...options,
  };
  const samples = await samplesOfSplit({
    images,
    split,
    labels,
    labelFolder: folders.labels,
    findLabels: labelsIn(folders.labels, labelSearch),
    imageOf,
    labelOf,
    onFault,
  });
  return new FileDataset({ name: 'camvid', root, split, samples, ...(await definitionOf(root, samples)) });
}

/** Whether a folder is laid out as CamVid's. */
async function isCamvid(root: string): Promise<boolean> {
  const under = (name: string) => isFolder(path.join(root, name));
  if (await under(ORIGINAL_LABELS)) return true;
  const pairs = [...PUBLISHED_SPLITS, WITHOUT_SPLITS].map(
    async (split) => (await under(split)) && (await under(`${split}annot`)),
  );
  return (await Promise.all(pairs)).includes(true);
}

/** The splits whose images are there. */
async function camvidSplits(root: string): Promise<string[]> {
  const original = await isFolder(path.join(root, ORIGINAL_LABELS));
  const found = await Promise.all(
    PUBLISHED_SPLITS.map((split) =>
      original ? isFile(path.join(root, `${split}.txt`)) : isFolder(path.join(root, split)),
    ),
  );
  const splits = PUBLISHED_SPLITS.filter((_, i) => found[i]);
  return splits.length > 0 ? splits : ['all'];
}

async function foldersOf(root: string, split: string): Promise<Folders> {
  const under = (name: string) => path.join(root, name);
  if (await isFolder(under(ORIGINAL_LABELS))) {
    const there = await Promise.all(ORIGINAL_IMAGES.map((name) => isFolder(under(name))));
    const images = ORIGINAL_IMAGES[Math.max(0, there.indexOf(true))]!;
    if (split === 'all' || (await isFile(under(`${split}.txt`)))) {
      return { images: under(images), labels: under(ORIGINAL_LABELS) };
    }
    throw fault(
      'missing',
      under(`${split}.txt`),
      `not found; the original CamVid has no splits: write a list of names here, or take the split 'all'`,
    );
  }
  const name = split === 'all' ? WITHOUT_SPLITS : split;
  if (await isFolder(under(name))) return { images: under(name), labels: under(`${name}annot`) };
  const entries = await readdir(root).catch(() => [] as string[]);
  const others = entries.filter((entry) => entries.includes(`${entry}annot`));
  throw fault(
    'missing',
    under(name),
    `not found; the images of CamVid's split '${split}' should be here${others.length > 0 ? ` (there is ${others.join(', ')})` : ''}`,
  );
}

/** A line of SegNet's lists has the paths of image and label. */
function imageName(line: string): string {
  const [image] = line.split(/\s+/);
  return path.parse(image!).name;
}

/** A class file, or else the form of the first label that can be read; all are checked against it when they are. */
async function definitionOf(root: string, samples: readonly Sample[]): Promise<ClassDefinition> {
  const listed = await findClassFile(root);
  const colors = listed !== undefined && COLOR_LISTS.includes(path.basename(listed));
  if (listed !== undefined && !colors) return readFoundClasses(listed);
  for (const { label } of samples) {
    const png = label === undefined ? undefined : await readPng(label).catch(() => undefined);
    if (png === undefined) continue;
    if (png.channels === 1 && png.palette === undefined) return CAMVID_11;
    return listed === undefined ? CAMVID_32 : readFoundClasses(listed);
  }
  return CAMVID_11;
}

export const camvidReader: DatasetReader = {
  detect: async (root) =>
    (await isCamvid(root))
      ? `${ORIGINAL_LABELS}/, or folders of splits with others of the same name + annot`
      : undefined,
  splits: camvidSplits,
  open: openCamvid,
};
