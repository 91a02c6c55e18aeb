// Reader of SYNTHIA's subsets: RGB/NNNNNNN.png with 16-bit labels GT/LABELS/NNNNNNN.png, sequences, and SYNTHIA-SF.
import path from 'node:path';
import { fault } from '../errors.js';
import { IMAGE_ENDINGS, isFolder, listFiles, type ReaderOptions } from '../files/list.js';
import { IGNORE_INDEX, type SegmentationDataset } from '../types.js';
import { FileDataset, samplesOfSplit } from './file-dataset.js';
import { isDerivedLabel } from './gta5.js';
import { type DatasetReader, firstFolder } from './reader.js';
import { selectIds, splitIds } from './splits.js';
import { SYNTHIA_LABEL_TO_TRAIN_ID, synthiaClasses, synthiaSubset } from './synthia-subsets.js';

export interface SynthiaOptions extends ReaderOptions {
  /** Default, or 'all': every image. Otherwise a split by `root/SPLIT.txt`; the dataset itself has none. */
  readonly split?: string;
}

/** They have an id, but no image shows them. */
const NEVER_SHOWN: readonly number[] = [16, 18, 20];

/** The id under which SYNTHIA shows a Cityscapes class; 0, void, for what it never shows. */
export function synthiaLabelId(trainId: number): number {
  const labelId = trainId === IGNORE_INDEX ? 0 : SYNTHIA_LABEL_TO_TRAIN_ID.indexOf(trainId);
  return labelId < 0 || NEVER_SHOWN.includes(labelId) ? 0 : labelId;
}

/**
 * Opens one of these subsets of SYNTHIA, told as `synthiaSubset` says:
 * - SYNTHIA-RAND-CITYSCAPES (Ros et al., CVPR 2016): `root/RGB/*.png` with `root/GT/LABELS/*.png`, PNGs of 16 bits a
 *   channel whose first channel is the class (the second counts instances). Terrain, truck and train do not occur.
 * - SYNTHIA-SEQS, the videos of 2016: the same, with folders for cameras, such as `RGB/Stereo_Left/Omni_F`; one sequence,
 *   or a folder of several `SYNTHIA-SEQS-...`. The id 12 is lane marking there.
 * - SYNTHIA-SF: `root/SEQ1/RGBLeft` with `root/SEQ1/GTLeft`, whose first channel is Cityscapes' trainId plus 1. Images of
 *   the right camera are left alone.
 * @throws {DatasetError} when a folder is missing or empty, `split` is not defined, or nothing tells the subset; also,
 * unless there is an `onFault`, when an image or label lacks its partner, a listed name does not exist or a link leads in
 * a circle
 */
export async function openSynthia(root: string, options: SynthiaOptions = {}): Promise<SegmentationDataset> {
  const { split = 'all', labels, onFault, onNote } = options;
  const subset = await synthiaSubset(root);
  if (subset === undefined)
    throw fault('missing', path.join(root, 'RGB'), 'not found; SYNTHIA images should be here');
  const { places, ids, coding } = subset;
  const heard = { onFault, onNote };
  const all = async (kind: 'images' | 'labels') => {
    const found = new Map<string, string>();
    for (const place of places) {
      const search =
        kind === 'images'
          ? { what: 'SYNTHIA images', endings: IMAGE_ENDINGS }
          : { what: 'SYNTHIA labels', endings: ['.png'], except: isDerivedLabel };
      const files = await listFiles(path.join(root, place[kind]), { ...search, ...heard });
      for (const [id, file] of files) found.set(place.prefix + id, file);
    }
    return found;
  };
  const fileOf = (kind: 'images' | 'labels') => (id: string) => {
    const place = places.find(({ prefix }) => id.startsWith(prefix)) ?? places[0]!;
    return path.join(root, place[kind], `${id.slice(place.prefix.length)}.png`);
  };
  const found = await all('images');
  const otherwise = `nothing defines the split '${split}' of SYNTHIA; put a ${split}.txt here, or use 'all'`;
  const listed = await splitIds(root, split, found, otherwise);
  const samples = await samplesOfSplit({
    images: selectIds(found, listed, fileOf('images'), onFault),
    split,
    labels,
    labelFolder: path.join(root, places[0]!.labels),
    findLabels: async () => selectIds(await all('labels'), listed, fileOf('labels'), onFault),
    imageOf: fileOf('images'),
    labelOf: fileOf('labels'),
    onFault,
  });
  return new FileDataset({
    name: 'synthia',
    root,
    split,
    classes: synthiaClasses(ids),
    labelCoding: coding,
    samples,
    definitions: [path.join(root, 'README.txt')],
  });
}

export const synthiaReader: DatasetReader = {
  detect: async (root) => {
    // Folders of one's own data may be RGB and masks.
    const labels = await firstFolder(root, 'masks', 'mask', 'labels', 'label', 'annotations');
    const own = labels !== undefined && !(await isFolder(path.join(root, 'GT')));
    return own ? undefined : (await synthiaSubset(root))?.why;
  },
  splits: async () => ['all'],
  open: (root, split, options) => openSynthia(root, { ...options, split }),
};
