// A dataset's images and labels as byte tensors, decoded on demand and kept in memory while there is room.

import { fromTypedArray, keep, type Tensor, tidy } from '@pgpc/torch';
import type { SegmentationDataset } from '../datasets/types.js';

/** One decoded sample. Owned by the store: use it before the next `get`, do not dispose it. */
export interface Pixels {
  /** (3, H, W), uint8, RGB. */
  image: Tensor;
  /** (H, W), uint8: trainIds, 255 = no class; undefined for unlabelled samples. */
  label: Tensor | undefined;
}

export interface PixelStoreOptions {
  /** Images are resized, with their ratio kept, to the largest size within these bounds; default: as they are. */
  scale?: { width: number; height: number };
  /** Bytes of decoded samples to keep. */
  cacheBytes?: number;
}

/** The size within bounds at the same ratio, rounded as mmcv does: 1914 x 1052 within 1280 x 720 is 1280 x 704. */
export function scaledSize(
  { width, height }: { width: number; height: number },
  bounds: { width: number; height: number },
): { width: number; height: number } {
  const longest = Math.max(bounds.width, bounds.height);
  const shortest = Math.min(bounds.width, bounds.height);
  const factor = Math.min(longest / Math.max(width, height), shortest / Math.min(width, height));
  return { width: Math.floor(width * factor + 0.5), height: Math.floor(height * factor + 0.5) };
}

/** Decoded samples of one dataset by index. */
export class PixelStore {
  readonly #cache = new Map<number, Pixels>();
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

  /** @throws DatasetError for files that do not decode or do not fit each other. */
  async get(index: number): Promise<Pixels> {
    const cached = this.#cache.get(index);
    if (cached) return cached;
    const labelled = this.dataset.samples[index]?.label !== undefined;
    const [image, label] = await Promise.all([
      this.dataset.readImage(index),
      labelled ? this.dataset.readLabel(index) : undefined,
    ]);
    const pixels = tidy(() => {
      const { width, height } = this.options.scale ? scaledSize(image, this.options.scale) : image;
      const resized = width !== image.width || height !== image.height;
      let pixels = fromTypedArray(image.data, [image.height, image.width, 3]).permute([2, 0, 1]);
      let trainIds = label && fromTypedArray(label.data, [label.height, label.width]);
      if (resized) {
        pixels = pixels
          .unsqueeze(0)
          .to('float32')
          .upsampleBilinear2d([height, width], false)
          .squeeze(0)
          .round()
          .to('uint8');
        trainIds = trainIds
          ?.view([1, 1, image.height, image.width])
          .upsampleNearest2d([height, width])
          .view([height, width]);
      }
      return { image: pixels.contiguous(), label: trainIds };
    });
    keep(pixels.image);
    if (pixels.label) keep(pixels.label);
    const bytes = pixels.image.numel + (pixels.label?.numel ?? 0);
    if (bytes <= this.#room) {
      this.#room -= bytes;
      this.#cache.set(index, pixels);
    }
    return pixels;
  }

  /** Frees all that is kept. */
  dispose(): void {
    for (const { image, label } of this.#cache.values()) {
      image.dispose();
      label?.dispose();
    }
    this.#cache.clear();
  }
}
