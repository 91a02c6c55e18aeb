// A dataset whose samples are files: the part that all readers share.

import { DatasetError, fault } from '../errors.js';
import { type FileSearch, isFolder, type LabelUse, listFiles, type OnFault, report } from '../files/list.js';
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
import { similarNames } from './similar-names.js';
/** What makes a {@link FileDataset}. */
export type FileDatasetParts = Pick<
  SegmentationDataset,
  'name' | 'root' | 'split' | 'classes' | 'labelCoding' | 'samples' | 'range' | 'definitions'
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
  readonly definitions: readonly string[] | undefined;
  readonly ignoreIndex = IGNORE_INDEX;

  constructor(parts: FileDatasetParts) {
    this.name = parts.name;
    this.root = parts.root;
    this.split = parts.split;
    this.classes = parts.classes;
    this.labelCoding = parts.labelCoding;
    this.samples = parts.samples;
    this.range = parts.range;
    this.definitions = parts.definitions;
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
  const turned = map.width === image.height && map.height === image.width;
  return fault(
    'size-mismatch',
    label,
    `the label is ${map.width}x${map.height} but its image is ${image.width}x${image.height}${turned ? ' as viewers turn it by EXIF: was the label drawn on the picture as stored? Turn one of them' : '; both must have the same size'}`,
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

/** Tools export no mask for a frame that nobody has annotated. */
const NO_LABEL = 'annotate the image, or take it out of the split';
const NO_IMAGE = 'add the image, or remove the label';

/**
 * Brings images and labels of the same id together, in the order of the images.
 * @throws {DatasetError} unless there is an `onFault`: naming the first image without a label or label without an
 * image, and how many more
 */
function pairSamples({ images, labels, imageOf, labelOf, onFault }: Pairing, alone: boolean): Sample[] {
  const lacks = (file: string, what: string, partner: string, advice: string, more: number) =>
    fault(
      'missing-pair',
      file,
      `no ${what} (${partner} is missing)${more > 0 ? `, and ${more} more like it` : ''}; ${advice}`,
    );
  const unlabelled = [...images].filter(([id]) => !labels.has(id));
  const orphans = [...labels].filter(([id]) => !images.has(id));
  const [likeLabel, likeImage] = [similarNames(labels), similarNames(images)];
  for (const [id, file] of alone ? [] : unlabelled) {
    report(
      onFault,
      lacks(
        file,
        `label for this image${likeLabel(id)}`,
        labelOf(id),
        NO_LABEL,
        onFault ? 0 : unlabelled.length - 1,
      ),
    );
  }
  for (const [id, file] of orphans) {
    report(
      onFault,
      lacks(
        file,
        `image for this label${likeImage(id)}`,
        imageOf(id),
        NO_IMAGE,
        onFault ? 0 : orphans.length - 1,
      ),
    );
  }
  return [...images].flatMap(([id, image]) => {
    const label = labels.get(id);
    if (label !== undefined) return [{ id, image, label }];
    return alone ? [{ id, image }] : [];
  });
}

/** Images of a split, and how its labels are found. */
export interface SplitFiles extends Omit<Pairing, 'labels'> {
  /** Lists the labels; undefined where their folder is missing. */
  readonly findLabels: () => Promise<ReadonlyMap<string, string> | undefined>;
  /** Where the labels should be, for the message. */
  readonly labelFolder: string;
  readonly split: string;
  readonly labels: LabelUse | undefined;
}

/**
 * The samples of a split: images with their labels, or alone where labels are not read or there are none.
 * @throws {DatasetError} when labels are needed and their folder is missing, or as {@link pairSamples}
 */
export async function samplesOfSplit(files: SplitFiles): Promise<Sample[]> {
  const { images, findLabels, labelFolder, split, labels: use = 'paired' } = files;
  const found = use === 'none' ? undefined : await findLabels();
  if (found !== undefined) return pairSamples({ ...files, labels: found }, use === 'available');
  if (use !== 'required') return Array.from(images, ([id, image]) => ({ id, image }));
  throw fault('missing', labelFolder, `not found; the labels of '${split}' should be here`);
}

/** Finds labels that lie in one folder. */
export function labelsIn(folder: string, search: FileSearch): SplitFiles['findLabels'] {
  return async () => ((await isFolder(folder)) ? listFiles(folder, search) : undefined);
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
  const { name, root, split, classes, labelCoding, samples, range, definitions } = dataset;
  return { name, root, split, classes, labelCoding, samples, range, definitions };
}
