// Reader of Mapillary Vistas: training/images and training/v1.2/labels, with the classes of config_v1.2.json.
import path from 'node:path';
import { z } from 'zod';
import type { ClassDefinition } from '../classes/class-file.js';
import { readJson } from '../classes/json.js';
import { valueClasses } from '../classes/listed-classes.js';
import { fault } from '../errors.js';
import { IMAGE_ENDINGS, isFile, isFolder, listFiles, type ReaderOptions } from '../files/list.js';
import type { PublishedSplit } from '../formats.js';
import type { SegmentationDataset } from '../types.js';
import { FileDataset, labelsIn, samplesOfSplit } from './file-dataset.js';
import { type DatasetReader, firstFolder, publishedSplit, splitsBy } from './reader.js';

const FOLDERS: Readonly<Record<PublishedSplit, readonly string[]>> = {
  train: ['training', 'train'],
  val: ['validation', 'val'],
  test: ['testing', 'test'],
};

/** An edition of the labels. */
interface Edition {
  /** Its file in the root that lists the classes. */
  readonly config: string;
  /** Folders of labels in the folder of a split. */
  readonly labels: readonly string[];
}

/** The first is taken where several are there: most work is on the 65 classes of 1.2. */
const EDITIONS: readonly Edition[] = [
  { config: 'config_v1.2.json', labels: ['v1.2', 'labels'] },
  { config: 'config_v2.0.json', labels: ['v2.0', 'labels'] },
  { config: 'config.json', labels: ['labels'] },
];

const configSchema = z.object({
  labels: z
    .array(
      z.object({
        name: z.string().min(1),
        readable: z.string().min(1).optional(),
        color: z.tuple([z.int().min(0).max(255), z.int().min(0).max(255), z.int().min(0).max(255)]),
        evaluate: z.boolean().default(true),
        instances: z.boolean().default(false),
      }),
    )
    .max(255),
});

/**
 * Opens a split of Mapillary Vistas (Neuhold et al., ICCV 2017), as its README lays it out:
 * `root/training/images/*.jpg` with `root/training/v1.2/labels/*.png`, or `v2.0`, and `root/config_v1.2.json`; or, as up to
 * edition 1.1, `root/training/labels` and `root/config.json`. The index in a label is the place in the configuration's
 * list `labels`; entries that are not to be evaluated are ignored. `validation` is the split val; `testing` has no labels.
 * Where both editions are there, 1.2 is read.
 * @throws {DatasetError} when a folder or the configuration is missing or not of its form; also, unless there is an
 * `onFault`, when an image or label lacks its partner or a link leads in a circle
 */
export async function openMapillary(
  root: string,
  split: PublishedSplit,
  { labels, onFault, onNote }: ReaderOptions = {},
): Promise<SegmentationDataset> {
  const heard = { onFault, onNote };
  const folder = path.join(root, (await firstFolder(root, ...FOLDERS[split])) ?? FOLDERS[split][0]!);
  const editions = await editionsOf(root);
  const edition = editions[0];
  if (edition === undefined) {
    throw fault(
      'missing',
      path.join(root, EDITIONS[0]!.config),
      'not found, but it names the classes of Mapillary Vistas; restore it from the archive',
    );
  }
  if (editions.length > 1) {
    onNote?.(
      `${root}: labels by ${edition.config} are read, not by ${editions[1]!.config}; for the others move ${edition.config} away`,
    );
  }
  const imageFolder = path.join(folder, 'images');
  const labelFolder = path.join(folder, ...edition.labels);
  const images = await listFiles(imageFolder, { what: 'Mapillary images', endings: IMAGE_ENDINGS, ...heard });
  const samples = await samplesOfSplit({
    images,
    split,
    labels,
    labelFolder,
    findLabels: labelsIn(labelFolder, { what: 'Mapillary labels', endings: ['.png'], ...heard }),
    imageOf: (id) => path.join(imageFolder, `${id}.jpg`),
    labelOf: (id) => path.join(labelFolder, `${id}.png`),
    onFault,
  });
  const config = path.join(root, edition.config);
  const definitions = [config];
  return new FileDataset({
    name: 'mapillary',
    root,
    split,
    samples,
    definitions,
    ...(await readConfig(config)),
  });
}

/** The editions whose configuration is there and that have labels; where none has, the first. */
async function editionsOf(root: string): Promise<Edition[]> {
  const [labelled, listed]: [Edition[], Edition[]] = [[], []];
  for (const edition of EDITIONS) {
    if (!(await isFile(path.join(root, edition.config)))) continue;
    const folders = Object.values(FOLDERS).flat();
    const found = folders.map((folder) => isFolder(path.join(root, folder, ...edition.labels)));
    ((await Promise.all(found)).includes(true) ? labelled : listed).push(edition);
  }
  return labelled.length > 0 ? labelled : listed.slice(0, 1);
}

/** The entries that are evaluated, by their readable names where those are all different. */
async function readConfig(file: string): Promise<ClassDefinition> {
  const { labels } = await readJson(file, configSchema, "'labels' with names and colours");
  const evaluated = labels.map((label, value) => ({ ...label, value })).filter(({ evaluate }) => evaluate);
  const readable = new Set(evaluated.map(({ readable }) => readable));
  const plain = readable.size === evaluated.length && !readable.has(undefined);
  return valueClasses(
    file,
    evaluated.map(({ name, readable, value, color, instances }) => ({
      name: plain ? readable! : name,
      value,
      color,
      kind: instances ? ('thing' as const) : ('stuff' as const),
    })),
    labels.flatMap(({ evaluate }, value) => (evaluate ? [] : [value])),
  );
}

async function imagesOf(root: string, split: PublishedSplit): Promise<string | undefined> {
  return firstFolder(root, ...FOLDERS[split].map((folder) => path.join(folder, 'images')));
}

export const mapillaryReader: DatasetReader = {
  detect: async (root) => {
    const images =
      (await imagesOf(root, 'train')) ?? (await imagesOf(root, 'val')) ?? (await imagesOf(root, 'test'));
    if (images === undefined) return undefined;
    const edition = (await editionsOf(root))[0];
    if (edition !== undefined) return `${images}/ and ${edition.config}`;
    const versions = ['v1.2', 'v2.0'].map((version) => path.join(path.dirname(images), version, 'labels'));
    const labels = await firstFolder(root, ...versions);
    return labels && `${images}/ and ${labels}/`;
  },
  splits: (root) => splitsBy(async (split) => (await imagesOf(root, split)) !== undefined),
  open: (root, split, options) => openMapillary(root, publishedSplit(root, 'mapillary', split), options),
};
