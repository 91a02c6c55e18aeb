// Reader of GTA5 ("Playing for Data"): images/NNNNN.png and palette labels of the same name.
import path from 'node:path';
import { GTA5_LABEL_TO_TRAIN_ID } from './cityscapes-classes.js';
import { imageSize } from './decode.js';
import { checkPairs, FileDataset } from './file-dataset.js';
import { listFiles } from './files.js';
import { DatasetError, type Sample, type SegmentationDataset } from './types.js';

export interface Gta5Options {
  /** Only these samples, such as ['00001', '00002']; default: all files. */
  ids?: readonly string[];
  /** Name of this selection; default 'train'. The folder layout has no splits. */
  split?: string;
}

/** In the published archive these two images are not of the size of their labels. */
const DAMAGED_UPSTREAM: readonly string[] = ['15188', '17705'];

/**
 * Opens GTA5 (Richter et al., "Playing for Data", ECCV 2016): `root/images/*.png` with `root/labels/*.png`,
 * palette PNGs whose index is the Cityscapes label id. The published archive's samples 15188 and 17705 are
 * left out where image and label really differ in size.
 * @throws {DatasetError} when a folder is missing or empty, an image or label lacks its partner, an id in `ids`
 * does not exist or a link leads in a circle
 */
export async function openGta5(root: string, options: Gta5Options = {}): Promise<SegmentationDataset> {
  const pathOf = (id: string) => ({
    image: path.join(root, 'images', `${id}.png`),
    label: path.join(root, 'labels', `${id}.png`),
  });
  let [images, labels] = await Promise.all([
    listFiles(path.join(root, 'images'), '.png', 'GTA5 images'),
    listFiles(path.join(root, 'labels'), '.png', 'GTA5 labels'),
  ]);
  if (options.ids !== undefined) {
    images = select(images, options.ids, (id) => pathOf(id).image);
    labels = select(labels, options.ids, (id) => pathOf(id).label);
  }
  checkPairs(images, labels, pathOf);
  const samples: Sample[] = [];
  for (const id of images) {
    const sample = { id, ...pathOf(id) };
    if (DAMAGED_UPSTREAM.includes(id) && !(await sameSize(sample.image, sample.label))) continue;
    samples.push(sample);
  }
  return new FileDataset('gta5', root, options.split ?? 'train', samples, GTA5_LABEL_TO_TRAIN_ID);
}

function select(found: readonly string[], ids: readonly string[], fileOf: (id: string) => string): string[] {
  const known = new Set(found);
  const missing = ids.find((id) => !known.has(id));
  if (missing !== undefined) {
    throw new DatasetError(`${fileOf(missing)}: not found, but \`ids\` asks for sample '${missing}'`);
  }
  const wanted = new Set(ids);
  if (wanted.size === 0)
    throw new DatasetError('gta5: `ids` is empty; name at least one sample or leave it out');
  return found.filter((id) => wanted.has(id));
}

async function sameSize(image: string, label: string): Promise<boolean> {
  const [a, b] = await Promise.all([imageSize(image), imageSize(label)]);
  return a.width === b.width && a.height === b.height;
}
