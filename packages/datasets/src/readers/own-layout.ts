// Where the images, masks and lists of one's own data are: folders by the names that people give them.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { IMAGE_ENDINGS, isFile, isFolder } from '../files/list.js';
import { PUBLISHED_SPLITS } from '../formats.js';
import { maskSuffix } from './mask-names.js';

const IMAGE_FOLDERS = ['images', 'image', 'imgs', 'img', 'JPEGImages', 'rgb', 'RGB'];
/** In the order in which they are taken where several hold masks. */
const LABEL_FOLDERS = ['masks', 'mask', 'labels', 'label', 'annotations', 'gt', 'ground_truth'];
/** Names that stand for a split, besides its own. */
const ALSO: Readonly<Record<string, readonly string[]>> = {
  train: ['training'],
  val: ['valid', 'validation'],
  test: ['testing'],
};
/** What names a folder of masks beside the folder of images of a split, as in train_labels. */
const BESIDE = ['_masks', '_mask', '_labels', '_label', '_annotations', '_gt'];

/** Folders of published data sets, which a folder of photos does not have. */
const PUBLISHED_FOLDERS = ['leftimg8bit', 'gtfine', 'rgb_anon', 'gt', 'segmentationclass', 'imagesets'];

/** Whether a folder's name tells of a data set: of images, labels or a split. */
export function isLayoutName(name: string): boolean {
  const small = name.toLowerCase();
  const splits = PUBLISHED_SPLITS.flatMap((split) => [split, ...ALSO[split]!]);
  const names = [...IMAGE_FOLDERS, ...LABEL_FOLDERS, ...PUBLISHED_FOLDERS, ...splits];
  return names.some((known) => known.toLowerCase() === small);
}

/** A split's folders, which are the same where images and masks lie together. */
export interface SplitPlace {
  readonly imageFolder: string;
  /** May be missing. */
  readonly labelFolder: string;
  /** Names of the split's samples; undefined: all in the folder. */
  readonly list: string | undefined;
}

/** How a folder of one's own data is laid out. */
export interface OwnLayout {
  /** In words, such as "images/ and masks/, a folder for each split". */
  readonly why: string;
  /** In the order all, train, val, test. */
  readonly splits: ReadonlyMap<string, SplitPlace>;
}

/** @returns undefined where no folder of images is known by its name */
export async function ownLayout(root: string): Promise<OwnLayout | undefined> {
  const here = await foldersIn(root);
  return (
    (await splitsBelow(root, here)) ??
    (await splitsAbove(root, here)) ??
    (await splitsBeside(root, here)) ??
    (await together(root, here))
  );
}

/** images/train with masks/train; or images with masks, and lists of names. */
async function splitsBelow(root: string, here: readonly string[]): Promise<OwnLayout | undefined> {
  const images = IMAGE_FOLDERS.find((name) => here.includes(name));
  if (images === undefined) return undefined;
  const imageFolder = path.join(root, images);
  const labels = await labelFolderOf(root, here);
  const labelFolder = path.join(root, labels);
  const [inImages, inLabels] = [await foldersIn(imageFolder), await foldersIn(labelFolder)];
  const splits = new Map<string, SplitPlace>();
  for (const split of PUBLISHED_SPLITS) {
    const folder = splitFolder(inImages, split);
    if (folder === undefined) continue;
    const below = path.join(labelFolder, splitFolder(inLabels, split) ?? split);
    splits.set(split, { imageFolder: path.join(imageFolder, folder), labelFolder: below, list: undefined });
  }
  const pair = `${images}/ and ${labels}/`;
  if (splits.size > 0) return { why: `${pair}, a folder for each split`, splits };
  for (const split of PUBLISHED_SPLITS) {
    const list = path.join(root, `${split}.txt`);
    if (await isFile(list)) splits.set(split, { imageFolder, labelFolder, list });
  }
  if (splits.size > 0) return { why: `${pair}, a list of names for each split`, splits };
  return { why: pair, splits: new Map([['all', { imageFolder, labelFolder, list: undefined }]]) };
}

/** train/images with train/masks. */
async function splitsAbove(root: string, here: readonly string[]): Promise<OwnLayout | undefined> {
  const splits = new Map<string, SplitPlace>();
  let why = '';
  for (const split of PUBLISHED_SPLITS) {
    const folder = splitFolder(here, split);
    if (folder === undefined) continue;
    const inside = path.join(root, folder);
    const within = await foldersIn(inside);
    const images = IMAGE_FOLDERS.find((name) => within.includes(name));
    if (images === undefined) continue;
    const labels = await labelFolderOf(inside, within);
    const place = { imageFolder: path.join(inside, images), labelFolder: path.join(inside, labels) };
    splits.set(split, { ...place, list: undefined });
    why ||= `${folder}/${images}/ and ${folder}/${labels}/`;
  }
  return splits.size > 0 ? { why, splits } : undefined;
}

/** train with train_labels; a split may lack labels where another has them. */
async function splitsBeside(root: string, here: readonly string[]): Promise<OwnLayout | undefined> {
  const folders = PUBLISHED_SPLITS.flatMap((split) => {
    const folder = splitFolder(here, split);
    return folder === undefined ? [] : [{ split, folder }];
  });
  const end = BESIDE.find((end) => folders.some(({ folder }) => here.includes(folder + end)));
  if (end === undefined) return undefined;
  const splits = new Map<string, SplitPlace>();
  for (const { split, folder } of folders) {
    const place = { imageFolder: path.join(root, folder), labelFolder: path.join(root, folder + end) };
    splits.set(split, { ...place, list: undefined });
  }
  const labelled = folders.find(({ folder }) => here.includes(folder + end))!.folder;
  return { why: `${labelled}/ and ${labelled}${end}/`, splits };
}

/** Images and their masks in the same folders, told by the masks' names. */
async function together(root: string, here: readonly string[]): Promise<OwnLayout | undefined> {
  if (here.some(isLayoutName)) return undefined;
  const entries = await readdir(root, { recursive: true }).catch(() => []);
  const ids = new Set(
    entries.flatMap((name) => {
      const { ext } = path.parse(name);
      const isImage = IMAGE_ENDINGS.includes(ext.toLowerCase()) && !path.basename(name).startsWith('.');
      return isImage ? [name.slice(0, -ext.length)] : [];
    }),
  );
  const suffix = maskSuffix(ids, ids, true);
  if (suffix === '') return undefined;
  const place = { imageFolder: root, labelFolder: root, list: undefined };
  return { why: `images and masks together, masks with ${suffix} behind`, splits: new Map([['all', place]]) };
}

function splitFolder(folders: readonly string[], split: string): string | undefined {
  const names = [split, ...ALSO[split]!];
  return folders.find((folder) => names.includes(folder.toLowerCase()));
}

/** Of several, the first that holds images: YOLO's labels are texts. The first name where none is there. */
async function labelFolderOf(root: string, here: readonly string[]): Promise<string> {
  const present = LABEL_FOLDERS.filter((name) => here.includes(name));
  for (const name of present) if (await holdsImages(path.join(root, name))) return name;
  return present[0] ?? LABEL_FOLDERS[0]!;
}

/** Names of the folders in a folder, links to folders too; none where it is missing. */
export async function foldersIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const names: string[] = [];
  for (const entry of entries) {
    if (entry.name.startsWith('.')) continue;
    const linked = entry.isSymbolicLink() && (await isFolder(path.join(folder, entry.name)));
    if (entry.isDirectory() || linked) names.push(entry.name);
  }
  return names.sort();
}

/** Whether there is an image in a folder or, a few levels down, in its first folders. */
export async function holdsImages(folder: string, levels = 3): Promise<boolean> {
  const entries = await readdir(folder).catch(() => []);
  const names = entries.filter((name) => !name.startsWith('.') && name !== '__MACOSX');
  const isImage = (name: string) => IMAGE_ENDINGS.includes(path.extname(name).toLowerCase());
  if (names.some(isImage)) return true;
  if (levels === 0) return false;
  for (const name of names.sort().slice(0, 20)) {
    if (path.extname(name) === '' && (await holdsImages(path.join(folder, name), levels - 1))) return true;
  }
  return false;
}
