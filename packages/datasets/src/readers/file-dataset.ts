// A dataset whose samples are files: the part that all readers share.

import { DatasetError, fault } from '../errors.js';
import { type FileSearch, isFolder, listFiles, type OnFault, report } from '../files/list.js';
import {
  decodeRgb,
  imageSize,
  type LabelMap,
  type RgbImage,
  type Size,
  type ValueRange,
} from '../images/index.js';
import { decodeLabel } from '../labels/decode.js';
import {
  type ClassInfo,
  IGNORE_INDEX,
  type LabelCoding,
  type Sample,
  type SegmentationDataset,
} from '../types.js';
/** What makes a {@link FileDataset}. */
export type FileDatasetParts = Pick<
  SegmentationDataset,
  'name' | 'root' | 'split' | 'classes' | 'labelCoding' | 'samples' | 'range'
>;

/** Samples on disk. */
export class FileDataset implements SegmentationDataset {
  readonly name: string;
  readonly root: string;
  readonly split: string;
  readonly classes: readonly ClassInfo[];
  readonly labelCoding: LabelCoding;
  readonly samples: readonly Sample[];
  readonly range: ValueRange | undefined;
  readonly ignoreIndex = IGNORE_INDEX;

  constructor(parts: FileDatasetParts) {
    this.name = parts.name;
    this.root = parts.root;
    this.split = parts.split;
    this.classes = parts.classes;
    this.labelCoding = parts.labelCoding;
    this.samples = parts.samples;
    this.range = parts.range;
  }

  async readImage(index: number): Promise<RgbImage> {
    return decodeRgb(this.sample(index).image, { range: this.range });
  }

  async readLabel(index: number): Promise<LabelMap> {
    const { id, image, label, coding = this.labelCoding } = this.sample(index);
    if (label === undefined) {
      throw new DatasetError(
        `${this.root}: sample ${id} of ${this.name} ${this.split} has no label; this split was opened without labels`,
      );
    }
    const [size, map] = await Promise.all([imageSize(image), decodeLabel(label, coding)]);
    const mismatch = sizeMismatch(label, map, size);
    if (mismatch !== undefined) throw mismatch;
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

/** The label files of a sample: none, one, or the layers of several. */
export function labelFiles({ label, coding }: Sample): readonly string[] {
  if (coding?.kind === 'layers') return coding.files;
  return label === undefined ? [] : [label];
}

/** The error for a label that is not of its image's size; undefined where it is. */
export function sizeMismatch(label: string, map: Size, image: Size): DatasetError | undefined {
  if (map.width === image.width && map.height === image.height) return undefined;
  return fault(
    'size-mismatch',
    label,
    `the label is ${map.width}x${map.height} but its image is ${image.width}x${image.height}; both must have the same size`,
  );
}

/** Images and labels by id, as `listFiles` finds them, and where a missing one of an id should be. */
export interface Pairing {
  readonly images: ReadonlyMap<string, string>;
  readonly labels: ReadonlyMap<string, string>;
  readonly imageOf: (id: string) => string;
  readonly labelOf: (id: string) => string;
  readonly onFault?: OnFault | undefined;
}

/**
 * Brings images and labels of the same id together, in the order of the images.
 * @throws {DatasetError} unless there is an `onFault`: naming the first image without a label or label without an
 * image, and how many more
 */
export function pairSamples({ images, labels, imageOf, labelOf, onFault }: Pairing): Sample[] {
  const lacks = (file: string, what: string, partner: string, more: number) =>
    fault(
      'missing-pair',
      file,
      `no ${what} (${partner} is missing)${more > 0 ? `, and ${more} more like it` : ''}; add the missing file or remove its partner`,
    );
  const unlabelled = [...images].filter(([id]) => !labels.has(id));
  const orphans = [...labels].filter(([id]) => !images.has(id));
  for (const [id, file] of unlabelled) {
    report(onFault, lacks(file, 'label for this image', labelOf(id), onFault ? 0 : unlabelled.length - 1));
  }
  for (const [id, file] of orphans) {
    report(onFault, lacks(file, 'image for this label', imageOf(id), onFault ? 0 : orphans.length - 1));
  }
  return [...images].flatMap(([id, image]) => {
    const label = labels.get(id);
    return label === undefined ? [] : [{ id, image, label }];
  });
}

/** Samples of images alone. */
export function unlabelledSamples(images: ReadonlyMap<string, string>): Sample[] {
  return Array.from(images, ([id, image]) => ({ id, image }));
}

/** A split whose labels lie in a folder of their own, which may be absent. */
export interface SplitFolders extends Omit<Pairing, 'labels'> {
  readonly labelFolder: string;
  readonly labelSearch: FileSearch;
  /** Whether the labels have to be there, as for validation. */
  readonly needsLabels: boolean;
}

/**
 * Pairs images with the labels in `labelFolder`; without that folder the samples carry none.
 * @throws {DatasetError} when labels are needed and the folder is missing, or as {@link pairSamples}
 */
export async function samplesOfFolders(folders: SplitFolders): Promise<Sample[]> {
  const { labelFolder, labelSearch, needsLabels, images } = folders;
  if (await isFolder(labelFolder)) {
    return pairSamples({ ...folders, labels: await listFiles(labelFolder, labelSearch) });
  }
  if (!needsLabels) return unlabelledSamples(images);
  throw fault('missing', labelFolder, `not found; the labels of the validation split should be here`);
}

/** The dataset without the samples at `indices`, for training in spite of bad files. */
export function withoutSamples(
  dataset: SegmentationDataset,
  indices: ReadonlySet<number>,
): SegmentationDataset {
  const samples = dataset.samples.filter((_, index) => !indices.has(index));
  return new FileDataset({ ...partsOf(dataset), samples });
}

/** The dataset with another range of stored numbers, see `decodeRgb`. */
export function withRange(dataset: SegmentationDataset, range: ValueRange): SegmentationDataset {
  return new FileDataset({ ...partsOf(dataset), range });
}

/** What a dataset is made of, to make another of it. */
export function partsOf(dataset: SegmentationDataset): FileDatasetParts {
  const { name, root, split, classes, labelCoding, samples, range } = dataset;
  return { name, root, split, classes, labelCoding, samples, range };
}
