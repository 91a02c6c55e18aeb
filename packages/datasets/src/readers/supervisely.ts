// Reader of Supervisely's export "as masks": meta.json, DATASET/img and DATASET/masks_machine.
import path from 'node:path';
import { z } from 'zod';
import type { ClassDefinition } from '../classes/class-file.js';
import { packed } from '../classes/colors.js';
import { findClassFile, readFoundClasses } from '../classes/find.js';
import { readJson } from '../classes/json.js';
import { listedClasses, valueClasses } from '../classes/listed-classes.js';
import { colorSchema } from '../classes/yaml.js';
import { fault } from '../errors.js';
import { IMAGE_ENDINGS, isFile, isFolder, listFiles } from '../files/list.js';
import { PUBLISHED_SPLITS } from '../formats.js';
import { imageSize } from '../images/index.js';
import { IGNORE_INDEX, type LabelCoding, type Sample, type SegmentationDataset } from '../types.js';
import { FileDataset, samplesOfSplit } from './file-dataset.js';
import { foldersIn } from './own-layout.js';
import type { DatasetReader, SplitOptions } from './reader.js';

const META = 'meta.json';
const VALUES = 'obj_class_to_machine_color.json';
const IMAGES = 'img';
const MACHINE = 'masks_machine';
const HUMAN = 'masks_human';

const metaSchema = z.object({ classes: z.array(z.object({ title: z.string().min(1), color: colorSchema })) });
const valuesSchema = z.record(z.string(), z.array(z.int().min(0).max(255)).min(1).max(3));

/**
 * Opens a project as Supervisely's app "Export as masks" writes it: `root/meta.json`, and for each dataset
 * `root/DATASET/img` with `root/DATASET/masks_machine/*.png`, whose values `root/obj_class_to_machine_color.json` names.
 * Without masks_machine, masks_human are read by the colours of meta.json. Datasets named train, val or test are the
 * splits; split 'all' takes the others, or `root/img` where there are none. What nobody drew on (0) is ignored, unless a class file in the root (see
 * `readClassFile`), which comes before, makes it a class.
 * @throws {DatasetError} when a folder or file is missing or not of its form; also, unless there is an `onFault`, when
 * an image or mask lacks its partner or a link leads in a circle
 */
export async function openSupervisely(
  root: string,
  split: string,
  { labels, onFault, onNote }: SplitOptions = {},
): Promise<SegmentationDataset> {
  const names = (await datasetsOf(root)).get(split);
  if (names === undefined) {
    const has = [...(await datasetsOf(root)).keys()];
    throw fault('missing', root, `has no split '${split}'; its datasets make ${has.join(', ')}`);
  }
  const masks = await masksOf(root, names);
  const files = { images: new Map<string, string>(), labels: new Map<string, string>() };
  for (const name of names) {
    const heard = { onFault, onNote };
    const idIn = (id: string) => (names.length > 1 ? `${name}/${id}` : id);
    const folder = path.join(root, name, IMAGES);
    const images = await listFiles(folder, { what: 'images', endings: IMAGE_ENDINGS, ...heard });
    for (const [id, file] of images) files.images.set(idIn(id), file);
    const maskFolder = path.join(root, name, masks ?? MACHINE);
    if (labels === 'none' || !(await isFolder(maskFolder))) continue;
    const found = await listFiles(maskFolder, { what: 'masks', endings: ['.png'], ...heard });
    for (const [id, file] of found) files.labels.set(idIn(images.has(id) ? id : withoutEnding(id)), file);
  }
  const place = (folder: string, id: string, ending: string) =>
    names.length > 1
      ? path.join(root, path.dirname(id), folder, path.basename(id) + ending)
      : path.join(root, names[0]!, folder, id + ending);
  const labelFolder = path.join(root, names[0]!, MACHINE);
  if (masks === undefined && labels === 'required') {
    throw fault(
      'missing',
      labelFolder,
      `not found; export the project with Supervisely's app "Export as masks"`,
    );
  }
  const samples = await samplesOfSplit({
    images: files.images,
    split,
    labels,
    labelFolder,
    findLabels: async () => (masks === undefined ? undefined : files.labels),
    imageOf: (id) => place(IMAGES, id, '.jpg'),
    labelOf: (id) => place(masks ?? MACHINE, id, '.png'),
    onFault,
  });
  const own = await findClassFile(root);
  const definition = own ? await readFoundClasses(own) : await definitionOf(root, masks, samples);
  if (own === undefined && samples.some(({ label }) => label !== undefined)) {
    onNote?.(
      `${root}: pixels that nobody drew on are ignored; if they are a class, list all in classes.yaml`,
    );
  }
  const definitions = [META, VALUES].map((name) => path.join(root, name));
  return new FileDataset({ name: 'supervisely', root, split, samples, definitions, ...definition });
}

/** Some exports keep the image's ending: photo.jpg.png. */
function withoutEnding(id: string): string {
  const ending = path.extname(id);
  return IMAGE_ENDINGS.includes(ending.toLowerCase()) ? id.slice(0, -ending.length) : id;
}

/** Datasets by split, in the order all, train, val, test. */
async function datasetsOf(root: string): Promise<Map<string, string[]>> {
  const splits = new Map<string, string[]>();
  const names: string[] = [];
  // The app that imports masks takes a project without folders of datasets.
  for (const name of ['', ...(await foldersIn(root))]) {
    if (await isFolder(path.join(root, name, IMAGES))) names.push(name);
  }
  const splitOf = (name: string) => PUBLISHED_SPLITS.find((split) => split === name.toLowerCase()) ?? 'all';
  for (const split of ['all', ...PUBLISHED_SPLITS]) {
    const here = names.filter((name) => splitOf(name) === split);
    if (here.length > 0) splits.set(split, here);
  }
  return splits;
}

/** The folder of the masks that are read; undefined where there are none. */
async function masksOf(root: string, names: readonly string[]): Promise<string | undefined> {
  for (const folder of [MACHINE, HUMAN]) {
    for (const name of names) if (await isFolder(path.join(root, name, folder))) return folder;
  }
  return undefined;
}

async function definitionOf(
  root: string,
  masks: string | undefined,
  samples: readonly Sample[],
): Promise<ClassDefinition> {
  const hasValues = await isFile(path.join(root, VALUES));
  // Values have names without it.
  const hasMeta = !hasValues || masks === HUMAN || (await isFile(path.join(root, META)));
  const meta = hasMeta
    ? await readJson(path.join(root, META), metaSchema, "'classes' with a title and a color each")
    : { classes: [] };
  const colors = new Map(meta.classes.map(({ title, color }) => [title, color]));
  const first = samples.find(({ label }) => label !== undefined);
  if (masks === HUMAN || (masks === undefined && !hasValues)) {
    if (first) await refusePictures(first);
    const listed = meta.classes.map(({ title, color }, value) => ({ name: title, value: value + 1, color }));
    const classes = listedClasses(path.join(root, META), listed);
    const codes = new Map([
      ...classes.map(({ color, trainId }): [number, number] => [packed(color), trainId]),
    ]);
    if (codes.size < classes.length) {
      throw fault(
        'definition',
        path.join(root, META),
        `two classes have the same color, so ${HUMAN} do not tell them`,
      );
    }
    if (!codes.has(0)) codes.set(0, IGNORE_INDEX);
    return { classes, labelCoding: colorCoding(codes) };
  }
  const file = path.join(root, VALUES);
  const values = await readJson(file, valuesSchema, 'names of classes with [value, value, value]');
  const listed = Object.entries(values)
    .map(([name, channels]) => ({ name, value: channels[0]!, color: colors.get(name), channels }))
    .sort((a, b) => a.value - b.value);
  const uneven = listed.find(({ channels }) => new Set(channels).size > 1);
  if (uneven)
    throw fault('definition', file, `'${uneven.name}' is [${uneven.channels}], not three times one value`);
  const [only, ...others] = listed;
  if (only && only.value !== 0 && others.length === 0 && first) {
    throw fault(
      'definition',
      file,
      `names one class only, '${only.name}'; for what nobody drew on write classes.yaml with the classes { name: background, value: 0 } and { name: ${only.name}, value: ${only.value} }`,
    );
  }
  return valueClasses(file, listed, only?.value === 0 ? [] : [0]);
}

const colorCoding = (codes: ReadonlyMap<number, number>): LabelCoding => ({
  kind: 'colors',
  colors: Uint32Array.from(codes.keys()),
  trainIds: Uint8Array.from(codes.values()),
});

/** Later versions of the app write the image and, beside it, the image under its masks, which no longer tell classes. */
async function refusePictures({ image, label }: Sample): Promise<void> {
  const [own, drawn] = await Promise.all([imageSize(image), imageSize(label!)]).catch(() => []);
  if (own === undefined || drawn === undefined || drawn.width !== 2 * own.width) return;
  throw fault(
    'label-format',
    label!,
    `shows the image twice, with and without its masks; export ${MACHINE} too, which hold the classes`,
  );
}

export const superviselyReader: DatasetReader = {
  detect: async (root) => {
    const files = [META, VALUES].map(async (name) =>
      (await isFile(path.join(root, name))) ? name : undefined,
    );
    const told = (await Promise.all(files)).find((name) => name !== undefined);
    const [name] = told === undefined ? [] : [...(await datasetsOf(root)).values()].flat();
    return name === undefined ? undefined : `${told} and ${path.join(name, IMAGES)}/`;
  },
  splits: async (root) => [...(await datasetsOf(root)).keys()],
  open: openSupervisely,
};
