// What every dataset is: a list of samples, their pixels, and the classes of their labels.

/** Colour image, interleaved rows: `data[(y * width + x) * 3 + channel]`, sRGB, 0..255. */
export interface RgbImage {
  width: number;
  height: number;
  data: Uint8Array;
}

/** Label map, one byte a pixel, row by row: a trainId (index into `classes`) or 255 = ignore. */
export interface LabelMap {
  width: number;
  height: number;
  data: Uint8Array;
}

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

/** One image with, where it is known, its label. */
export interface Sample {
  /** Unique in its dataset and stable between runs; for file datasets, the path without folder and suffix. */
  readonly id: string;
  /** Path of the image file. */
  readonly image: string;
  /** Path of the label file; absent for an unlabelled sample. */
  readonly label?: string;
}

/** A split of a dataset, listed and checked when it was opened; pixels are read on demand. */
export interface SegmentationDataset {
  readonly name: string;
  readonly root: string;
  readonly split: string;
  readonly classes: readonly ClassInfo[];
  readonly ignoreIndex: 255;
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

/** A dataset folder or file that is not as its format says; the message is one line and names the path. */
export class DatasetError extends Error {
  override readonly name = 'DatasetError';
}
