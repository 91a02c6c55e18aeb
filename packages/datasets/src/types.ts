// What every data set is: a list of samples, their pixels, and the classes of their labels.

import type { LabelMap, RgbImage, ValueRange } from './images/index.js';

/** Value of a pixel that is neither trained on nor evaluated. */
export const IGNORE_INDEX = 255;

/** Marks values that a dataset does not define where label values are mapped to trainIds. */
export const UNKNOWN_LABEL = 254;

/** One class that is trained and evaluated. */
export interface ClassInfo {
  /** Index of the network's output channel, and the value in a {@link LabelMap}. */
  readonly trainId: number;
  /** Value in the label files on disk. */
  readonly labelId: number;
  readonly name: string;
  /** Colour for pictures, 0..255 each. */
  readonly color: readonly [red: number, green: number, blue: number];
  /** `thing`: the dataset labels single instances of it; `stuff`: it does not. */
  readonly kind: 'thing' | 'stuff';
}

/**
 * How a dataset's label files tell trainIds, as plain data: it can be posted to a worker thread and given to
 * `decodeLabel` there. A trainId is 0..253, 255 to ignore, or `UNKNOWN_LABEL` (254) for a value that the dataset
 * does not define.
 * - `values`: a PNG of one channel of at most 8 bits, grey or palette (the index counts, not the colour);
 *   `table` holds the trainId of each of the 256 values.
 * - `first-of-16-bit`: the first channel of a PNG of 16 bits a channel; `table` is as above, higher values are
 *   unknown.
 * - `first-channel`: the first channel of a PNG of several channels of 8 or 16 bits; `table` as above.
 * - `colors`: a PNG whose pixels are, with alpha dropped and a palette applied, `colors[i]` as 0xRRGGBB for
 *   `trainIds[i]`; other colours are unknown.
 * - `layers`: of one sample, several masks of the same size, one for each drawn region, which is above 127 in its grey
 *   or alpha channel. The value of a pixel is the number of the last of `files` that covers it, from 1, or 0; `table`
 *   holds the trainId of each number.
 */
export type LabelCoding =
  | { readonly kind: 'values'; readonly table: Uint8Array }
  | { readonly kind: 'first-of-16-bit'; readonly table: Uint8Array }
  | { readonly kind: 'first-channel'; readonly table: Uint8Array }
  | { readonly kind: 'colors'; readonly colors: Uint32Array; readonly trainIds: Uint8Array }
  | { readonly kind: 'layers'; readonly files: readonly string[]; readonly table: Uint8Array };

/** One image with, where it is known, its label. */
export interface Sample {
  /** Unique in its dataset and stable between runs; for file datasets, the path without folder and suffix. */
  readonly id: string;
  /** Path of the image file. */
  readonly image: string;
  /** Path of the label file, the first of several; absent for an unlabelled sample. */
  readonly label?: string;
  /** How this label is read, where it differs from the dataset's coding. */
  readonly coding?: LabelCoding;
}

/** A split of a dataset, listed and checked when it was opened; pixels are read on demand. */
export interface SegmentationDataset {
  readonly name: string;
  readonly root: string;
  readonly split: string;
  readonly classes: readonly ClassInfo[];
  readonly ignoreIndex: 255;
  /** How the label files of `samples` are read that have no coding of their own. */
  readonly labelCoding: LabelCoding;
  /** Of images of more than 8 bits: the stored numbers that are black and white; left out: the whole scale. */
  readonly range?: ValueRange | undefined;
  /** Files in the root besides images and labels that say what the labels mean; a copy needs them. */
  readonly definitions?: readonly string[] | undefined;
  /** In the order of their ids (by UTF-16 code unit: the same on every machine). */
  readonly samples: readonly Sample[];
  /**
   * Decodes the image of sample `index`.
   * @throws {DatasetError} when there is no such sample or the file cannot be decoded
   */
  readImage(index: number): Promise<RgbImage>;
  /**
   * Decodes the label of sample `index` as trainIds, the size of its image.
   * @throws {DatasetError} when the sample has no label, or the file cannot be decoded, differs in size from
   * the image or holds a value that is no label of this dataset
   */
  readLabel(index: number): Promise<LabelMap>;
}
