// A split with its labels and predictions as a folder that FiftyOne reads: its ImageSegmentationDirectory, twice.
//
// https://docs.voxel51.com/user_guide/import_datasets.html#imagesegmentationdirectory: images in data/, masks of the same names
// in labels/, both with parallel subfolders. A mask's value 0 is FiftyOne's background, which it does not draw.

import { lstatSync } from 'node:fs';
import { mkdir, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { type ClassInfo, type SegmentationDataset, writeJson } from '@pgpc/datasets';
import type { Tensor } from '@pgpc/torch';
import { UsageError } from '../config/usage-error.js';
import { keepInputs } from './keep-inputs.js';
import { encodeValues, writePicture } from './label-files.js';

const LABELS = 'labels';
const PREDICTIONS = 'predictions';

/** Each class's value in a mask: its index and one, as 0 stands for no class. */
function values(classes: readonly ClassInfo[]): Uint8Array<ArrayBuffer> {
  const table = new Uint8Array(256);
  for (const { trainId } of classes) table[trainId] = trainId + 1;
  return table;
}

/** A folder for FiftyOne, open for writing. */
export class FiftyOneFolder {
  private constructor(
    readonly folder: string,
    readonly dataset: SegmentationDataset,
  ) {}

  /**
   * Makes the folder, with `mask_targets.json`, the names of the masks' values.
   * @throws UsageError where a mask would take the place of a file that is not pgpc's, or a link that of a file.
   */
  static async create(folder: string, dataset: SegmentationDataset): Promise<FiftyOneFolder> {
    const { samples, classes } = dataset;
    const masks = samples.flatMap(({ id }) =>
      [LABELS, PREDICTIONS].map((kind) => path.join(folder, kind, `${id}.png`)),
    );
    await keepInputs(
      samples.flatMap(({ image, label }) => (label === undefined ? [image] : [image, label])),
      masks,
    );
    await mkdir(folder, { recursive: true });
    const names = classes.map(({ name, trainId }) => [String(trainId + 1), name]);
    writeJson(path.join(folder, 'mask_targets.json'), Object.fromEntries(names));
    return new FiftyOneFolder(folder, dataset);
  }

  /** Links to the image and writes both masks. @param truth @param prediction (H, W), uint8, indices of classes, 255: none. */
  async add(index: number, truth: Tensor, prediction: Tensor): Promise<void> {
    const { id, image } = this.dataset.samples[index]!;
    const link = path.join(this.folder, 'data', `${id}${path.extname(image)}`);
    await mkdir(path.dirname(link), { recursive: true });
    const there = lstatSync(link, { throwIfNoEntry: false });
    if (there && !there.isSymbolicLink()) {
      throw new UsageError(`${link}: is there already and is no link; name another folder, or move it away`);
    }
    if (there) await rm(link);
    await symlink(path.resolve(image), link);
    const table = values(this.dataset.classes);
    for (const [kind, labels] of [
      [LABELS, truth],
      [PREDICTIONS, prediction],
    ] as const) {
      const picture = await encodeValues(labels, table);
      await writePicture(path.join(this.folder, kind, `${id}.png`), picture);
    }
  }
}
