// Reader of COCO with labels as PNGs: COCO-Stuff's stuffthingmaps and pixelmaps, and panoptic segments.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { cocoChallengeClasses, cocoStuffClasses } from '../classes/coco.js';
import { valueClasses } from '../classes/listed-classes.js';
import { fault } from '../errors.js';
import { IMAGE_ENDINGS, isFile, listFiles, report } from '../files/list.js';
import { PUBLISHED_SPLITS } from '../formats.js';
import type { SegmentationDataset } from '../types.js';
import { type PanopticAnnotations, readPanoptic } from './coco-panoptic.js';
import { FileDataset, labelsIn, samplesOfSplit } from './file-dataset.js';
import { isDerivedLabel } from './gta5.js';
import { foldersIn } from './own-layout.js';
import { type DatasetReader, firstFolder, type SplitOptions } from './reader.js';

type Form = 'panoptic' | 'stuffthingmaps' | 'pixelmaps';

/** Where labels of each form lie, by the name of the folder of images, such as train2017. */
const PLACES: Readonly<Record<Form, (name: string) => readonly string[]>> = {
  panoptic: (name) => [path.join('annotations', `panoptic_${name}`), `panoptic_${name}`],
  stuffthingmaps: (name) => [
    path.join('stuffthingmaps', name),
    path.join('annotations', 'stuffthingmaps', name),
    path.join('stuffthingmaps_trainval2017', name),
    path.join('annotations', name),
  ],
  pixelmaps: (name) => [path.join('annotations', `stuff_${name}_pixelmaps`), `stuff_${name}_pixelmaps`],
};

/**
 * Opens a split of COCO (Lin et al., ECCV 2014): `root/images/train2017/*.jpg`, or `root/train2017`, with labels of one
 * of these forms, the first that has a folder for any split:
 * - panoptic: `root/annotations/panoptic_train2017/*.png` with `panoptic_train2017.json` beside the folder, see
 *   `readPanoptic`; classes by name and colour from there;
 * - stuffthingmaps: `root/stuffthingmaps/train2017/*.png` (or `root/annotations/train2017`) of COCO-Stuff, the category id
 *   less 1, 255 where there is none; 171 classes;
 * - pixelmaps: `root/annotations/stuff_train2017_pixelmaps/*.png` of the stuff challenge, the category id, 0 where there is
 *   none; 91 kinds of stuff and 183, all things.
 * @throws {DatasetError} when a folder is missing or empty, or where labels are needed and there are polygons alone; also,
 * unless there is an `onFault`, when an image or label lacks its partner or a link leads in a circle
 */
export async function openCoco(
  root: string,
  split: string,
  options: SplitOptions = {},
): Promise<SegmentationDataset> {
  const { labels, onFault, onNote } = options;
  const heard = { onFault, onNote };
  const folders = await imageFolders(root);
  const images = folders.get(split);
  if (images === undefined) {
    const known = PUBLISHED_SPLITS.some((name) => name === split);
    if (!known)
      throw fault('missing', root, `has no split '${split}'; it has ${[...folders.keys()].join(', ')}`);
    const folder = path.join(root, 'images', `${split}2017`);
    throw fault(
      'missing',
      folder,
      `not found, nor ${path.join(root, `${split}2017`)}; COCO's images should be here`,
    );
  }
  const imageFolder = path.join(root, images);
  const name = path.basename(images);
  const form = await formOf(root);
  if (form === undefined && (labels === 'required' || split === 'val')) {
    const [folder, why] = [path.join(root, PLACES.stuffthingmaps(name)[0]!), await onlyPolygons(root)];
    if (labels !== 'none')
      throw fault(
        'missing',
        folder,
        `not found${why}; unpack COCO-Stuff's stuffthingmaps here, or panoptic PNGs`,
      );
  }
  const places = form ? PLACES[form](name) : [];
  const labelFolder = path.join(root, (await firstFolder(root, ...places)) ?? places[0] ?? 'annotations');
  const json = form === 'panoptic' ? await panopticJson(root, name) : undefined;
  const panoptic = json === undefined ? undefined : await readPanoptic(json, labels !== 'none');
  const labelSearch = { what: 'COCO labels', endings: ['.png'], except: isDerivedLabel, ...heard };
  const findLabels = labelsIn(labelFolder, labelSearch);
  const samples = await samplesOfSplit({
    images: await listFiles(imageFolder, { what: 'COCO images', endings: IMAGE_ENDINGS, ...heard }),
    split,
    labels,
    labelFolder,
    findLabels: async () => {
      const found = form && (await findLabels());
      return panoptic && found ? byImage(json!, panoptic, found, options) : found;
    },
    imageOf: (id) => path.join(imageFolder, `${id}.jpg`),
    labelOf: (id) => path.join(labelFolder, `${panoptic?.labels.get(id)?.png ?? id}.png`),
    onFault,
  });
  return new FileDataset({
    name: 'coco',
    root,
    split,
    ...definitionOf(root, form, panoptic, options),
    samples: samples.map((sample) => {
      const coding = sample.label === undefined ? undefined : panoptic?.labels.get(sample.id)?.coding;
      return coding ? { ...sample, coding } : sample;
    }),
    definitions: json === undefined ? [] : [json],
  });
}

function definitionOf(
  root: string,
  form: Form | undefined,
  panoptic: PanopticAnnotations | undefined,
  { defaultClasses }: SplitOptions,
) {
  if (panoptic) {
    const labelCoding = { kind: 'colors', colors: new Uint32Array(0), trainIds: new Uint8Array(0) } as const;
    return { classes: panoptic.classes, labelCoding };
  }
  if (form === 'pixelmaps') return valueClasses(root, cocoChallengeClasses(), [0]);
  if (form === undefined && defaultClasses) return defaultClasses;
  return valueClasses(root, cocoStuffClasses(-1), []);
}

/** PNGs of segments by the id of their image. */
function byImage(
  json: string,
  { labels }: PanopticAnnotations,
  found: ReadonlyMap<string, string>,
  { onFault }: SplitOptions,
): Map<string, string> {
  const files = new Map<string, string>();
  const known = new Set<string>();
  for (const [id, { png }] of labels) {
    known.add(png);
    const file = found.get(png);
    if (file !== undefined) files.set(id, file);
  }
  for (const [png, file] of found) {
    if (known.has(png)) continue;
    report(
      onFault,
      fault('missing-pair', file, `${json} has no annotation of it, so its segments have no class`),
    );
  }
  return files;
}

async function panopticJson(root: string, name: string): Promise<string> {
  const places = panopticPlaces(name);
  for (const place of places) if (await isFile(path.join(root, place))) return path.join(root, place);
  throw fault('missing', path.join(root, places[0]!), 'not found, but it says which class each segment has');
}

/**
 * Folders of images by split; of several years the latest. Folders without a year, as tools export them, are COCO's where
 * there are panoptic annotations of that name; `default` is the split all.
 */
async function imageFolders(root: string): Promise<Map<string, string>> {
  const folders = new Map<string, string>();
  for (const parent of ['', 'images']) {
    for (const name of (await foldersIn(path.join(root, parent))).sort()) {
      const [, split, year] = /^(train|val|test|default)(\d{4})?$/.exec(name) ?? [];
      if (split === undefined || (year === undefined && !(await hasPanoptic(root, name)))) continue;
      folders.set(split === 'default' ? 'all' : split, path.join(parent, name));
    }
  }
  return folders;
}

const panopticPlaces = (name: string) => [
  path.join('annotations', `panoptic_${name}.json`),
  `panoptic_${name}.json`,
];

async function hasPanoptic(root: string, name: string): Promise<boolean> {
  const found = await Promise.all(panopticPlaces(name).map((place) => isFile(path.join(root, place))));
  return found.includes(true);
}

async function formOf(root: string): Promise<Form | undefined> {
  const names = [...(await imageFolders(root)).values()].map((folder) => path.basename(folder));
  for (const form of Object.keys(PLACES) as Form[]) {
    if ((await firstFolder(root, ...names.flatMap(PLACES[form]))) !== undefined) return form;
  }
  return undefined;
}

/** What there is instead of PNGs. */
async function onlyPolygons(root: string): Promise<string> {
  const names = await readdir(path.join(root, 'annotations')).catch(() => []);
  const json = names.find((name) => /^(instances|stuff|panoptic)_.*\.json$/.test(name));
  return json === undefined ? '' : ` (annotations/${json} alone is not read)`;
}

export const cocoReader: DatasetReader = {
  detect: async (root) => {
    const images = (await imageFolders(root)).values().next().value;
    if (images === undefined) return undefined;
    const form = await formOf(root);
    return `${images}/ and ${form ? `labels as ${form}` : 'no labels as PNGs'}`;
  },
  splits: async (root) => {
    const folders = await imageFolders(root);
    return ['all', ...PUBLISHED_SPLITS].filter((split) => folders.has(split));
  },
  open: openCoco,
};
