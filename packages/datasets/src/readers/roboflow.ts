// Reader of Roboflow's export "Semantic Segmentation Masks": SPLIT/NAME.jpg with SPLIT/NAME_mask.png and _classes.csv.
import path from 'node:path';
import type { ClassDefinition } from '../classes/class-file.js';
import { findClassFile, readFoundClasses } from '../classes/find.js';
import { valueClasses } from '../classes/listed-classes.js';
import { fault } from '../errors.js';
import { IMAGE_ENDINGS, isFile, listFiles, type ReaderOptions } from '../files/list.js';
import { readText } from '../files/text.js';
import type { PublishedSplit } from '../formats.js';
import type { SegmentationDataset } from '../types.js';
import { FileDataset, samplesOfSplit } from './file-dataset.js';
import { type DatasetReader, publishedSplit, splitsBy } from './reader.js';

const FOLDERS: Readonly<Record<PublishedSplit, string>> = { train: 'train', val: 'valid', test: 'test' };
const CLASSES = '_classes.csv';
const MASK_SUFFIX = '_mask.png';

/**
 * Opens a split of what Roboflow exports: `root/train/NAME.jpg` with `root/train/NAME_mask.png`, whose values
 * `root/train/_classes.csv` names line by line, background too; `valid` is the split val. A class file in the root (see
 * `readClassFile`) comes before.
 * @throws {DatasetError} when a folder or the list of classes is missing or not of its form; also, unless there is an
 * `onFault`, when an image or mask lacks its partner or a link leads in a circle
 */
export async function openRoboflow(
  root: string,
  split: PublishedSplit,
  { labels, onFault, onNote }: ReaderOptions = {},
): Promise<SegmentationDataset> {
  const heard = { onFault, onNote };
  const folder = path.join(root, FOLDERS[split]);
  const isMask = (id: string) => id.endsWith('_mask');
  const images = await listFiles(folder, {
    what: 'images',
    endings: IMAGE_ENDINGS,
    except: isMask,
    ...heard,
  });
  const samples = await samplesOfSplit({
    images,
    split,
    labels,
    labelFolder: folder,
    findLabels: () => listFiles(folder, { what: 'masks', endings: [MASK_SUFFIX], onFault }),
    imageOf: (id) => path.join(folder, `${id}.jpg`),
    labelOf: (id) => path.join(folder, id + MASK_SUFFIX),
    onFault,
  });
  const own = await findClassFile(root);
  const listed = own ?? path.join(folder, CLASSES);
  const definition = own ? await readFoundClasses(own) : await readClasses(listed);
  return new FileDataset({ name: 'roboflow', root, split, samples, definitions: [listed], ...definition });
}

/** Lines "value, name" below a line of titles. */
async function readClasses(file: string): Promise<ClassDefinition> {
  if (!(await isFile(file)))
    throw fault('missing', file, 'not found, but it names the classes; export them again');
  const [, ...lines] = (await readText(file)).split(/\r\n|\r|\n/).map((line) => line.trim());
  const listed = lines.flatMap((line, i) => {
    if (line === '') return [];
    const [, value, name] = /^(\d+)\s*,\s*"?([^"]+?)"?$/.exec(line) ?? [];
    if (name !== undefined) return [{ name, value: Number(value) }];
    throw fault('definition', file, `line ${i + 2} '${line}' is not of the form value, name`);
  });
  return valueClasses(file, listed, []);
}

const hasClasses = (root: string, split: PublishedSplit) => isFile(path.join(root, FOLDERS[split], CLASSES));

export const roboflowReader: DatasetReader = {
  detect: async (root) => {
    const [split] = await splitsBy((split) => hasClasses(root, split));
    return split && `${FOLDERS[split as PublishedSplit]}/${CLASSES}`;
  },
  splits: (root) => splitsBy((split) => hasClasses(root, split)),
  open: (root, split, options) => openRoboflow(root, publishedSplit(root, 'roboflow', split), options),
};
