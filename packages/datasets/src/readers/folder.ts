// Reader of your own data: folders of images and of masks, and the exports of CVAT and labelme in the layout of VOC.
import path from 'node:path';
import {
  type ClassDefinition,
  classesByTrainId,
  MAX_CLASSES,
  numberedClasses,
  readClassFile,
} from '../classes/class-file.js';
import { CLASS_FILES, findClassFile, readFoundClasses } from '../classes/find.js';
import { type DatasetError, fault } from '../errors.js';
import {
  IMAGE_ENDINGS,
  isFile,
  isFolder,
  LABEL_ENDINGS,
  listFiles,
  type ReaderOptions,
} from '../files/list.js';
import { toTrainIds } from '../labels/decode.js';
import { labelHistograms } from '../labels/histograms.js';
import { IGNORE_INDEX, type Sample, type SegmentationDataset, UNKNOWN_LABEL } from '../types.js';
import { FileDataset, samplesOfSplit } from './file-dataset.js';
import { labelIdEvidence } from './label-id-evidence.js';
import { maskSuffix, withoutSuffix } from './mask-names.js';
import { namingOthers } from './other-annotations.js';
import { type OwnLayout, ownLayout, type SplitPlace } from './own-layout.js';
import { type DatasetReader, firstFolder, type SplitOptions } from './reader.js';
import { readNameList, selectIds } from './splits.js';
import { isVoc, VOC_LABELS, vocSamples, vocSplits } from './voc.js';

/** The classes: `classes`, else the root's class file, else `defaultClasses`, else the values in the masks. */
export type FolderOptions = SplitOptions;

/**
 * Opens your own data. These layouts are read, the first that fits:
 * - VOC's, as CVAT's "Segmentation mask 1.1" and labelme have it, see `vocSamples`;
 * - `images/SPLIT` with masks of the same names in `masks/SPLIT`;
 * - `images` with `masks`, and lists of names `SPLIT.txt`; without lists, split 'all' takes all;
 * - `SPLIT/images` with `SPLIT/masks`;
 * - `SPLIT` with `SPLIT_masks` or `SPLIT_labels`.
 *
 * Folders may have other common names, such as `imgs` and `labels` (see `ownLayout`), and the masks' names a suffix,
 * such as `street_mask.png` for `street.jpg`. Masks have one channel, whose value is the class and 255 ignored, or
 * colours where the class file says so.
 * @throws {DatasetError} when a folder is missing or empty, or classes are not defined; also, unless there is an
 * `onFault`, when an image or mask lacks its partner, a listed name does not exist or a link leads in a circle
 */
export async function openFolder(
  root: string,
  split: string,
  options: FolderOptions = {},
): Promise<SegmentationDataset> {
  const voc = await isVoc(root);
  const samples = voc ? await vocSamples(root, split, options) : await ownSamples(root, split, options);
  const definition = await classesOf(root, samples, options);
  return new FileDataset({ name: 'folder', root, split, samples, ...definition });
}

async function ownSamples(
  root: string,
  split: string,
  { labels, onFault, onNote }: ReaderOptions,
): Promise<Sample[]> {
  const { imageFolder, labelFolder, list } = await placeOf(root, split);
  const imageOf = (id: string) => path.join(imageFolder, `${id}.png`);
  const labelOf = (id: string) => path.join(labelFolder, `${id}.png`);
  const heard = { onFault, onNote };
  const together = imageFolder === labelFolder;
  const listed = await listFiles(imageFolder, { what: 'images', endings: IMAGE_ENDINGS, ...heard });
  let images: ReadonlyMap<string, string> = together
    ? withoutSuffix(listed, maskSuffix(listed, listed, true)).rest
    : listed;
  const kept = list === undefined ? undefined : new Set(await readNameList(list, images));
  if (kept) images = selectIds(images, [...kept], imageOf, onFault);
  const findLabels = async () => {
    if (!(await isFolder(labelFolder))) return undefined;
    // Where images lie among them, what is no mask is no remark.
    const told = together ? { onFault } : heard;
    const found = await listFiles(labelFolder, { what: 'masks', endings: LABEL_ENDINGS, ...told });
    const suffix = maskSuffix(images, found, together);
    const { masks, rest } = withoutSuffix(found, suffix);
    if (suffix !== '') {
      const others = rest.size > 0 && !together ? `; ${rest.size} without it are passed over` : '';
      onNote?.(`${labelFolder}: masks are named as their images, with ${suffix} behind${others}`);
    }
    return kept ? new Map([...masks].filter(([id]) => kept.has(id))) : masks;
  };
  return samplesOfSplit({ images, split, labels, labelFolder, findLabels, imageOf, labelOf, onFault });
}

async function placeOf(root: string, split: string): Promise<SplitPlace> {
  const layout = await ownLayout(root);
  const place = layout?.splits.get(split);
  if (place) return place;
  // A list may also make a split of another name than the usual ones.
  const whole = layout?.splits.get('all') ?? [...(layout?.splits.values() ?? [])].find(({ list }) => list);
  if (whole && split === 'all') return { ...whole, list: undefined };
  const list = path.join(root, `${split}.txt`);
  if (whole && (await isFile(list))) return { ...whole, list };
  if (layout && !whole) {
    throw fault('missing', root, `has no split '${split}'; it has ${[...layout.splits.keys()].join(', ')}`);
  }
  const folder = path.join(whole?.imageFolder ?? path.join(root, 'images'), split);
  throw fault('missing', folder, `not found, and no list ${list} either; one of them defines the split`);
}

async function classesOf(
  root: string,
  samples: readonly Sample[],
  { classes, defaultClasses, labels, onFault, onNote }: FolderOptions,
): Promise<ClassDefinition> {
  if (typeof classes === 'string') return readClassFile(classes);
  if (classes !== undefined) return classesByTrainId(classes);
  const file = await findClassFile(root);
  if (file !== undefined) return readFoundClasses(file);
  if (defaultClasses === undefined) return classesFromMasks(root, samples, onFault);
  return labels === 'none' ? defaultClasses : codingOfMasks(root, samples, defaultClasses, onNote);
}

/** Masks without a class file hold the trainIds of the given classes or, where they do not fit, those classes' values. */
async function codingOfMasks(
  root: string,
  samples: readonly Sample[],
  given: ClassDefinition,
  onNote: ReaderOptions['onNote'],
): Promise<ClassDefinition> {
  const files = samples.flatMap(({ label }) => label ?? []);
  const histograms = await labelHistograms(root, files, ANY_VALUE, { onFault: () => {} });
  const values = Uint32Array.from(
    new Set([...histograms.values()].flatMap(({ counts }) => counts.map(([value]) => value))),
  );
  const byTrainId = classesByTrainId(given.classes);
  const fits = ({ labelCoding }: ClassDefinition) => !toTrainIds(values, labelCoding).includes(UNKNOWN_LABEL);
  const own = !fits(byTrainId) && given.labelCoding.kind !== 'layers' && fits(given);
  onNote?.(
    `${root}: no class file, so its masks are read in the source's classes, by ${own ? 'their values' : 'their numbers, from 0'}`,
  );
  return own ? given : byTrainId;
}

/** Any value counts here: what is above the most classes is then refused with its file. */
const ANY_VALUE = { kind: 'values', table: Uint8Array.from({ length: 256 }, (_, value) => value) } as const;

/** As many classes as the largest value in any split's masks asks for, so that all splits agree. */
async function classesFromMasks(
  root: string,
  samples: readonly Sample[],
  onFault: ReaderOptions['onFault'],
): Promise<ClassDefinition> {
  const files = await allMasks(root, samples);
  if (files.length === 0) {
    throw fault(
      'definition',
      root,
      `neither masks nor a list of classes; write ${CLASS_FILES[0]} with the names of the classes`,
    );
  }
  const unreadable: DatasetError[] = [];
  const histograms = await labelHistograms(root, files, ANY_VALUE, {
    onFault: (fault) => unreadable.push(fault),
  });
  // Of some that cannot be read the check of the samples tells.
  if (unreadable.length > 0 && (histograms.size === 0 || onFault === undefined)) throw unreadable[0]!;
  const shown = new Set([...histograms.values()].flatMap(({ counts }) => counts.map(([value]) => value)));
  const ignored = shown.delete(IGNORE_INDEX);
  const values = [...shown].sort((a, b) => a - b);
  const largest = values.at(-1) ?? -1;
  if (largest < 1) {
    const only = largest < 0 ? 'no class' : 'one class only, 0';
    const hint = ignored
      ? `${IGNORE_INDEX} is ignored: if it is a class, write ${CLASS_FILES[0]} with a class of value: ${IGNORE_INDEX}`
      : 'at least two are needed, such as values 0 and 1';
    throw fault(
      'definition',
      path.dirname(files[0]!),
      `the masks show ${only}, besides ${IGNORE_INDEX} = ignore; ${hint}`,
    );
  }
  if (4 * values.length <= largest) {
    const listed = `${values.slice(0, 12).join(', ')}${values.length > 12 ? ' ...' : ''}`;
    throw fault(
      'definition',
      path.dirname(files[0]!),
      `the masks hold the values ${listed}, too far apart to be the numbers of classes; write ${CLASS_FILES[0]} in ${root} with a name and value for each, such as - { name: road, value: ${largest} }`,
    );
  }
  return numberedClasses(Math.min(largest + 1, MAX_CLASSES));
}

/** The masks of all splits, so that the classes do not depend on which of them is opened. */
async function allMasks(root: string, samples: readonly Sample[]): Promise<string[]> {
  const own = samples.flatMap(({ label }) => label ?? []);
  if (await isVoc(root)) return own;
  const layout: OwnLayout | undefined = await ownLayout(root);
  const folders = new Set([...(layout?.splits.values() ?? [])].map(({ labelFolder }) => labelFolder));
  const masks = new Set(own);
  for (const folder of folders) {
    if (!(await isFolder(folder))) continue;
    const found = await listFiles(folder, { what: 'masks', endings: LABEL_ENDINGS, onFault: () => {} }).catch(
      () => new Map(),
    );
    // Beside masks whose names have a suffix may lie others that are not read.
    const passedOver = own.some((file) => file.startsWith(folder + path.sep)) && own.length < found.size;
    if (!passedOver) for (const file of found.values()) masks.add(file);
  }
  return [...masks].sort();
}

export const folderReader: DatasetReader = {
  detect: async (root) => {
    const voc = await firstFolder(root, ...VOC_LABELS);
    if (voc !== undefined) return `${voc}/, as VOC, CVAT and labelme have it`;
    const layout = await ownLayout(root);
    if (layout === undefined) return undefined;
    const evidence = await labelIdEvidence(root);
    return evidence ? `${layout.why}; not gta5, as ${evidence.why}` : layout.why;
  },
  splits: async (root) =>
    (await isVoc(root)) ? vocSplits(root) : [...((await ownLayout(root))?.splits.keys() ?? ['all'])],
  open: (root, split, options) => namingOthers(root, () => openFolder(root, split, options)),
};
