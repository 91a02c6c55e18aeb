// A dataset whose samples are files: the part that all readers share.
import { CITYSCAPES_CLASSES, IGNORE_INDEX } from './cityscapes-classes.js';
import { decodeLabel, decodeRgb, imageSize } from './decode.js';
import {
  type ClassInfo,
  DatasetError,
  type LabelMap,
  type RgbImage,
  type Sample,
  type SegmentationDataset,
} from './types.js';

/** Samples on disk whose labels map to the 19 Cityscapes classes through a table. */
export class FileDataset implements SegmentationDataset {
  readonly classes: readonly ClassInfo[] = CITYSCAPES_CLASSES;
  readonly ignoreIndex = IGNORE_INDEX;

  /** @param table trainId of each of the 256 values a label file can hold, see {@link decodeLabel} */
  constructor(
    readonly name: string,
    readonly root: string,
    readonly split: string,
    readonly samples: readonly Sample[],
    private readonly table: Uint8Array,
  ) {}

  async readImage(index: number): Promise<RgbImage> {
    return decodeRgb(this.sample(index).image);
  }

  async readLabel(index: number): Promise<LabelMap> {
    const { id, image, label } = this.sample(index);
    if (label === undefined) {
      throw new DatasetError(
        `${this.root}: sample ${id} of ${this.name} ${this.split} has no label; this split was opened without labels`,
      );
    }
    const [size, map] = await Promise.all([imageSize(image), decodeLabel(label, this.table)]);
    if (map.width !== size.width || map.height !== size.height) {
      throw new DatasetError(
        `${label}: the label is ${map.width}x${map.height} but its image is ${size.width}x${size.height}; both must have the same size`,
      );
    }
    return map;
  }

  private sample(index: number): Sample {
    const sample = this.samples[index];
    if (sample === undefined) {
      throw new DatasetError(
        `${this.root}: ${this.name} ${this.split} has no sample ${index}; it has ${this.samples.length}, counted from 0`,
      );
    }
    return sample;
  }
}

/**
 * Checks that two sorted lists of sample ids are the same.
 * @param pathOf where the image and the label of an id are, for the message
 * @throws {DatasetError} naming the first image without a label or label without an image, and how many more
 */
export function checkPairs(
  images: readonly string[],
  labels: readonly string[],
  pathOf: (id: string) => { image: string; label: string },
): void {
  const unlabelled = difference(images, labels);
  if (unlabelled[0] !== undefined) {
    const { image, label } = pathOf(unlabelled[0]);
    throw new DatasetError(`${image}: no label for this image (${label} is missing)${others(unlabelled)}`);
  }
  const orphans = difference(labels, images);
  if (orphans[0] !== undefined) {
    const { image, label } = pathOf(orphans[0]);
    throw new DatasetError(`${label}: no image for this label (${image} is missing)${others(orphans)}`);
  }
}

function difference(a: readonly string[], b: readonly string[]): string[] {
  const known = new Set(b);
  return a.filter((id) => !known.has(id));
}

function others(ids: readonly string[]): string {
  const advice = '; add the missing file or remove its partner';
  return ids.length === 1 ? advice : `, and ${ids.length - 1} more like it${advice}`;
}
