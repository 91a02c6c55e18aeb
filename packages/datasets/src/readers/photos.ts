// Reader of a plain folder of photos without labels: a target, whose classes are the source's.
import path from 'node:path';
import { fault } from '../errors.js';
import { IMAGE_ENDINGS, listFiles } from '../files/list.js';
import { FileDataset } from './file-dataset.js';
import { otherAnnotations } from './other-annotations.js';
import { foldersIn, holdsImages, isLayoutName } from './own-layout.js';
import type { DatasetReader } from './reader.js';

/** Whether a folder, or the folders in it, hold images, and no folder tells of a data set with labels. */
async function holdsPhotos(root: string): Promise<boolean> {
  if (await holdsImages(root, 0)) return true;
  for (const folder of await foldersIn(root)) {
    const inside = await foldersIn(path.join(root, folder));
    if ([folder, ...inside].some(isLayoutName)) return false;
  }
  return holdsImages(root);
}

/** All images in the folder and its subfolders; it has no labels. */
export const photosReader: DatasetReader = {
  detect: async (root) => ((await holdsPhotos(root)) ? 'images and no folder of labels' : undefined),
  splits: async () => ['all'],
  open: async (root, split, { labels, defaultClasses, onFault, onNote }) => {
    if (split !== 'all') throw fault('missing', root, `a folder of photos has no split '${split}'`);
    if (labels === 'required') {
      throw fault(
        'missing',
        root,
        `a folder of photos without labels, which are needed here; see the guide to datasets for layouts with labels${await otherAnnotations(root)}`,
      );
    }
    const images = await listFiles(root, { what: 'images', endings: IMAGE_ENDINGS, onFault, onNote });
    return new FileDataset({
      name: 'photos',
      root,
      split,
      classes: defaultClasses?.classes ?? [],
      labelCoding: defaultClasses?.labelCoding ?? { kind: 'values', table: new Uint8Array(256) },
      samples: Array.from(images, ([id, image]) => ({ id, image })),
    });
  },
};
