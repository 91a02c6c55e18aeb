// Reader of Label Studio's export "Brush labels to PNG": a mask for each drawn region, beside the images.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import type { ClassDefinition } from '../classes/class-file.js';
import { findClassFile, readFoundClasses } from '../classes/find.js';
import { listedClasses } from '../classes/listed-classes.js';
import { fault } from '../errors.js';
import { IMAGE_ENDINGS, isFile, listFiles, report } from '../files/list.js';
import { type ClassInfo, IGNORE_INDEX, type LabelCoding, type SegmentationDataset } from '../types.js';
import { FileDataset, samplesOfSplit } from './file-dataset.js';
import {
  inDrawingOrder,
  labelOf,
  type RegionMask,
  readTasks,
  regionMask,
  type Task,
  withoutUploadId,
} from './label-studio-masks.js';
import { foldersIn } from './own-layout.js';
import { type DatasetReader, firstFolder, type SplitOptions, splitsBy } from './reader.js';
import { readNameList, selectIds } from './splits.js';

const IMAGE_FOLDERS = ['images', 'image', 'imgs', 'img', 'upload'];
/** A class of this name is what no region covers. */
const BACKGROUND = /^(background|bg|__background__)$/i;

/**
 * Opens what Label Studio exports of brush labels: images in `root/images` or the root, masks
 * `task-N-annotation-M-by-USER-TAG-LABEL-K.png` in the root or a folder in it, and beside them the export "JSON" or
 * "JSON-MIN", which says which image a task is of. The regions of a task's last annotation are laid over each other in the
 * order of the export, which is how they were drawn. Classes are the labels by name, or the class file's in the root. What
 * no region covers is ignored, unless the class file has a class `background`. Lists of names `root/SPLIT.txt` make splits.
 * @throws {DatasetError} when images, masks or the JSON are missing, or classes are not defined; also, unless there is an
 * `onFault`, when a task has no image here or is in no JSON, a label is no class or an image lacks its masks
 */
export async function openLabelStudio(
  root: string,
  split: string,
  { labels, defaultClasses, onFault, onNote }: SplitOptions = {},
): Promise<SegmentationDataset> {
  const heard = { onFault, onNote };
  const imageFolder = path.join(root, (await firstFolder(root, ...IMAGE_FOLDERS)) ?? '');
  const maskFolder = path.join(root, (await maskFolderOf(root)) ?? '');
  let images: ReadonlyMap<string, string> = await listFiles(imageFolder, {
    what: 'images',
    endings: IMAGE_ENDINGS,
    except: (id) => regionMask(`${id}.png`) !== undefined,
    ...heard,
  });
  const imageOf = (id: string) => path.join(imageFolder, `${id}.jpg`);
  const list = path.join(root, `${split}.txt`);
  const all = images;
  if (await isFile(list)) images = selectIds(images, await readNameList(list, images), imageOf, onFault);
  else if (split !== 'all')
    throw fault('missing', list, `not found; a list of names defines the split '${split}'`);
  const exports = labels === 'none' ? [] : await exportsIn(root, maskFolder);
  const tasks = new Map((await Promise.all(exports.map(readTasks))).flatMap((found) => [...found]));
  const masks = labels === 'none' ? [] : await lastAnnotations(maskFolder, onNote);
  if (masks.length > 0 && tasks.size === 0) {
    throw fault(
      'missing',
      maskFolder,
      'no JSON of tasks here or in the root, which says which image the masks of a task belong to; export "JSON-MIN" too',
    );
  }
  const listed = await findClassFile(root);
  const own = listed === undefined ? undefined : (await readFoundClasses(listed)).classes;
  const known = own ?? (masks.length === 0 ? defaultClasses?.classes : undefined);
  const regions = masks.map((mask) => ({ ...mask, name: labelOf(mask, tasks.get(mask.task), known) }));
  const { classes, background } = classesOf(
    root,
    regions.map(({ name }) => name),
    known,
  );
  const codings = codingsOf({ regions, tasks, ids: idsByName(all), classes, background, listed, onFault });
  const samples = await samplesOfSplit({
    images,
    split,
    labels,
    labelFolder: maskFolder,
    findLabels: async () => (masks.length === 0 ? undefined : firstFiles(codings, images)),
    imageOf,
    labelOf: () => path.join(maskFolder, 'task-N-annotation-M-by-USER-TAG-LABEL-K.png'),
    onFault,
  });
  if (background === IGNORE_INDEX && masks.length > 0) {
    onNote?.(
      `${root}: pixels that no region covers are ignored; if they are a class, list all in classes.yaml, with one named background`,
    );
  }
  return new FileDataset({
    name: 'label-studio',
    root,
    split,
    classes,
    labelCoding: { kind: 'layers', files: [], table: Uint8Array.of(background) },
    samples: samples.map((sample) => {
      const coding = sample.label === undefined ? undefined : codings.get(sample.id);
      return coding ? { ...sample, coding } : sample;
    }),
    definitions: [...exports, ...(listed === undefined ? [] : [listed])],
  });
}

type Layers = Extract<LabelCoding, { kind: 'layers' }>;

/** A mask and the name of its class. */
interface Region extends RegionMask {
  readonly name: string;
}

interface Drawing {
  readonly regions: readonly Region[];
  readonly tasks: ReadonlyMap<number, Task>;
  /** Of images, see {@link idsByName}. */
  readonly ids: ReadonlyMap<string, string | undefined>;
  readonly classes: readonly ClassInfo[];
  readonly background: number;
  /** The class file, if there is one. */
  readonly listed: string | undefined;
  readonly onFault: SplitOptions['onFault'];
}

/** The labels by the id of their image. */
function codingsOf({
  regions,
  tasks,
  ids,
  classes,
  background,
  listed,
  onFault,
}: Drawing): Map<string, Layers> {
  const trainIds = new Map(classes.map(({ name, trainId }) => [name, trainId]));
  const byTask = new Map<number, Region[]>();
  for (const region of regions) byTask.set(region.task, [...(byTask.get(region.task) ?? []), region]);
  const codings = new Map<string, Layers>();
  for (const [number, layers] of byTask) {
    const task = tasks.get(number);
    const id = imageIdOf(task, ids);
    const strange = layers.find(({ name }) => !trainIds.has(name));
    const drawn = inDrawingOrder(layers, task);
    const files = drawn.map(({ file }) => file);
    if (id === undefined) {
      const why = task ? `no image of task ${number} is here` : `task ${number} is in no JSON here`;
      report(onFault, fault('missing-pair', files[0]!, `${why}; add it, or take the masks away`));
    } else if (strange) {
      const why = `the label '${strange.name}' is no class of ${path.basename(listed!)}; add it there`;
      report(onFault, fault('definition', strange.file, why));
    } else if (codings.has(id)) {
      const why = `task ${number} is of the same image as ${codings.get(id)!.files[0]}; take one of them away`;
      report(onFault, fault('same-name', files[0]!, why));
    } else {
      const table = Uint8Array.from([background, ...drawn.map(({ name }) => trainIds.get(name)!)]);
      codings.set(id, { kind: 'layers', files, table });
    }
  }
  return codings;
}

/** The first mask of each image that is wanted. */
function firstFiles(
  codings: ReadonlyMap<string, Layers>,
  images: ReadonlyMap<string, string>,
): Map<string, string> {
  const files = new Map<string, string>();
  for (const [id, coding] of codings) if (images.has(id)) files.set(id, coding.files[0]!);
  return files;
}

/** The folder with masks: '' for the root itself; undefined where there is none. */
async function maskFolderOf(root: string): Promise<string | undefined> {
  for (const folder of ['', ...(await foldersIn(root))]) {
    const names = await readdir(path.join(root, folder)).catch(() => []);
    if (names.some((name) => regionMask(name) !== undefined)) return folder;
  }
  return undefined;
}

async function exportsIn(root: string, maskFolder: string): Promise<string[]> {
  const files: string[] = [];
  for (const folder of new Set([root, maskFolder])) {
    const names = await readdir(folder).catch(() => []);
    files.push(
      ...names
        .filter((name) => /^[^.].*\.json$/i.test(name))
        .sort()
        .map((name) => path.join(folder, name)),
    );
  }
  return files;
}

/** The masks of the last annotation of each task. */
async function lastAnnotations(folder: string, onNote: SplitOptions['onNote']): Promise<RegionMask[]> {
  const names = (await readdir(folder).catch(() => [])).sort();
  const masks = names.flatMap((name) => regionMask(path.join(folder, name)) ?? []);
  const last = new Map<number, number>();
  const several = new Set<number>();
  for (const { task, annotation } of masks) {
    const known = last.get(task) ?? annotation;
    if (known !== annotation) several.add(task);
    last.set(task, Math.max(known, annotation));
  }
  if (several.size > 0) {
    onNote?.(
      `${folder}: ${several.size} ${several.size === 1 ? 'task has' : 'tasks have'} several annotations; the last of each is read`,
    );
  }
  return masks.filter(({ task, annotation }) => last.get(task) === annotation);
}

function classesOf(
  root: string,
  names: readonly string[],
  known: ClassDefinition['classes'] | undefined,
): { classes: ClassDefinition['classes']; background: number } {
  if (known) {
    const background = known.find(({ name }) => BACKGROUND.test(name))?.trainId;
    return { classes: known, background: background ?? IGNORE_INDEX };
  }
  const labels = [...new Set(names)].sort();
  if (labels.length === 1) {
    throw fault(
      'definition',
      root,
      `the masks show one class only, '${labels[0]}'; for what no mask covers write classes.yaml with the classes background and ${labels[0]}`,
    );
  }
  const classes =
    labels.length === 0
      ? []
      : listedClasses(
          root,
          labels.map((name, value) => ({ name, value })),
        );
  return { classes, background: IGNORE_INDEX };
}

/** Ids by the last part of the file's name, with and without what an upload puts before it; several of one name: none. */
function idsByName(images: ReadonlyMap<string, string>): Map<string, string | undefined> {
  const ids = new Map<string, string | undefined>();
  for (const [id, file] of images) {
    const name = path.basename(file).normalize('NFC');
    for (const key of new Set([name, withoutEnding(name)])) ids.set(key, ids.has(key) ? undefined : id);
  }
  return ids;
}

const withoutEnding = (name: string) => path.parse(name).name;

function imageIdOf(task: Task | undefined, ids: ReadonlyMap<string, string | undefined>): string | undefined {
  for (const name of task?.images ?? []) {
    for (const one of [name, withoutUploadId(name)]) {
      const id = ids.get(one) ?? ids.get(withoutEnding(one));
      if (id !== undefined) return id;
    }
  }
  return undefined;
}

export const labelStudioReader: DatasetReader = {
  detect: async (root) => {
    const folder = await maskFolderOf(root);
    return folder === undefined ? undefined : `masks named ${path.join(folder, 'task-N-annotation-M-...')}`;
  },
  splits: async (root) => ['all', ...(await splitsBy((split) => isFile(path.join(root, `${split}.txt`))))],
  open: openLabelStudio,
};
