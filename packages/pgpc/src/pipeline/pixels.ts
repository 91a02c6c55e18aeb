// A dataset's samples by index, decoded on demand and kept in memory while there is room.

import type { LabelMap, RgbImage, SegmentationDataset } from '@pgpc/datasets';
import { FileDataset, resizeWindow, type Size, scaledSize, scaleLabel } from '@pgpc/datasets';
import { fromTypedArray, type Tensor } from '@pgpc/torch';
import type { DecodePool } from './decode-pool.js';
import { type Crop, type CropRequest, cropDecoded, type DecodedSample, share } from './sample.js';

/** One decoded sample, resized. The caller owns the tensors. */
export interface Pixels {
  /** (3, H, W), uint8, RGB. */
  image: Tensor;
  /** (H, W), uint8: trainIds, 255 = no class; undefined for unlabelled samples. */
  label: Tensor | undefined;
}

export interface PixelStoreOptions {
  /** Images are resized, with their ratio kept, to the largest size within these bounds; default: as they are. */
  scale?: Size;
  /** Bytes of decoded files to keep; 2 GiB by default. */
  cacheBytes?: number;
}

/** Samples of one dataset by index. */
export class PixelStore {
  readonly #cache = new Map<number, DecodedSample>();
  #room: number;

  constructor(
    readonly dataset: SegmentationDataset,
    readonly options: PixelStoreOptions = {},
  ) {
    this.#room = options.cacheBytes ?? 2 ** 31;
  }

  get length(): number {
    return this.dataset.samples.length;
  }

  /** A whole sample. @throws DatasetError for files that do not decode or do not fit each other. */
  async get(index: number): Promise<Pixels> {
    const labelled = this.dataset.samples[index]?.label !== undefined;
    const [image, label] = await Promise.all([
      this.#readImage(index),
      labelled ? this.readLabel(index) : undefined,
    ]);
    const scaled = this.#scaled(image);
    return {
      image: resizeImage(image, scaled),
      label: label && fromTypedArray(resizeLabel(label, scaled), [scaled.height, scaled.width]),
    };
  }

  /** A whole image, (3, H, W), uint8, whose label is left alone. @throws DatasetError if it does not decode. */
  async image(index: number): Promise<Tensor> {
    const image = await this.#readImage(index);
    return resizeImage(image, this.#scaled(image));
  }

  #scaled(image: Size): Size {
    const { scale } = this.options;
    return scale ? scaledSize(image, scale) : image;
  }

  /**
   * A random crop of a sample. Files are decoded by the pool; a dataset that is not of files reads its own samples.
   * The labels of samples are decoded only where the request wants them.
   * @throws DatasetError for files that do not decode or do not fit each other.
   */
  async crop(index: number, request: Omit<CropRequest, 'scale'>, pool: DecodePool): Promise<Crop> {
    const whole: CropRequest = { ...request, scale: this.options.scale };
    const { dataset } = this;
    if (!(dataset instanceof FileDataset)) {
      const [image, label] = await Promise.all([
        this.#readImage(index),
        request.labelled ? this.readLabel(index) : undefined,
      ]);
      return cropDecoded(image, label, whole);
    }
    const { image, label, coding = dataset.labelCoding } = dataset.samples[index]!;
    const { crop, decoded } = await pool.run({
      files: { image, label, coding, range: dataset.range },
      decoded: this.#cache.get(index) ?? {},
      keep: this.#room > 0,
      request: whole,
    });
    this.#keep(index, decoded);
    return crop;
  }

  /** A label as its file has it, whatever the scale. @throws DatasetError if there is none or it does not decode. */
  async readLabel(index: number): Promise<LabelMap> {
    const label = this.#cache.get(index)?.label ?? (await this.dataset.readLabel(index));
    this.#keep(index, { label });
    return label;
  }

  async #readImage(index: number): Promise<RgbImage> {
    const image = this.#cache.get(index)?.image ?? (await this.dataset.readImage(index));
    this.#keep(index, { image });
    return image;
  }

  /** Keeps what is not kept yet: of two that decoded the same file at once, the first. */
  #keep(index: number, fresh: DecodedSample): void {
    const kept = this.#cache.get(index) ?? {};
    for (const part of ['image', 'label'] as const) {
      const pixels = fresh[part];
      if (!pixels || kept[part] || pixels.data.length > this.#room) continue;
      this.#room -= pixels.data.length;
      Object.assign(kept, { [part]: share(pixels) });
      this.#cache.set(index, kept);
    }
  }

  /** Forgets all that is kept. */
  dispose(): void {
    this.#cache.clear();
  }
}

function resizeImage(image: RgbImage, { width, height }: Size): Tensor {
  const whole = { top: 0, left: 0, width, height };
  const bytes = resizeWindow(image, { ...image, top: 0, left: 0 }, image, { width, height }, whole, false);
  return fromTypedArray(bytes, [3, height, width]);
}

function resizeLabel(label: LabelMap, scaled: Size): Uint8Array<ArrayBuffer> {
  const { data, rows, columns } = scaleLabel(label, scaled);
  const result = new Uint8Array(scaled.width * scaled.height);
  for (let y = 0, to = 0; y < scaled.height; y++) {
    for (let x = 0; x < scaled.width; x++) result[to++] = data[rows[y]! + columns[x]!]!;
  }
  return result;
}
