// Crops and whole images as normalised tensors.

import { type Ahead, copyAhead, fromTypedArray, ops, sizeOf, type Tensor, tidy } from '@pgpc/torch';
import type { ImageMargins } from '../config/self-training.js';
import type { Batch } from './batch.js';
import { betweenImageMargins } from './margins.js';
import { normalize_ } from './normalize.js';
import type { Crop } from './sample.js';
import type { CropOptions } from './window.js';

/** Bytes (B, 3, H, W) to the network's input. */
function normalizeBytes(image: Tensor): Tensor {
  return normalize_(image.to('float32').div_(255));
}

/** Images of crops as bytes: a batch (B, 3, h, w) where all fill their crop, else one (1, 3, h_i, w_i) after another. */
function imageBytes(crops: readonly Crop[], { width, height }: CropOptions): Tensor[] {
  const images = crops.map((crop) => fromTypedArray(crop.image, [1, 3, crop.height, crop.width]));
  const full = crops.every((crop) => crop.width === width && crop.height === height);
  return full ? [ops.cat(images)] : images;
}

/** What {@link imageBytes} gave as one normalised batch (B, 3, h, w), float32; what lies outside an image is 0. */
function assembled(bytes: readonly Tensor[], { width, height }: CropOptions): Tensor {
  const padded = bytes.map((image) => {
    const [h, w] = sizeOf(image);
    const normal = normalizeBytes(image);
    return h === height && w === width ? normal : normal.constantPadNd([0, width - w, 0, height - h], 0);
  });
  return padded.length === 1 ? padded[0]! : ops.cat(padded);
}

/** Labels of crops: (B, h, w), uint8; what lies outside a label is 255. */
function labelBytes(crops: readonly Crop[], { width, height }: CropOptions): Tensor {
  return ops.cat(crops.map(({ label }) => fromTypedArray(label!, [1, height, width])));
}

/** A batch on its way to a device. */
export class ComingBatch {
  readonly #ahead: Ahead;
  /** How many of the tensors under way are source images, before the label and the target images. */
  readonly #sources: number;
  readonly #hasMargins: boolean;

  /**
   * Starts to copy the crops' bytes; the source's have labels.
   * @param device 'cpu' or a GPU, such as 'cuda:0'. @param margins of the target's images, where they have any.
   */
  constructor(
    source: readonly Crop[],
    target: readonly Crop[] | undefined,
    readonly crop: CropOptions,
    device: string,
    margins?: ImageMargins,
  ) {
    this.#hasMargins = target !== undefined && margins !== undefined;
    const { ahead, sources } = tidy(() => {
      const images = imageBytes(source, crop);
      const valid = target && margins ? [betweenImageMargins(target, margins, crop)] : [];
      const targets = target ? imageBytes(target, crop) : [];
      const all = [...images, labelBytes(source, crop), ...targets, ...valid];
      return { ahead: copyAhead(all, device), sources: images.length };
    });
    this.#ahead = ahead;
    this.#sources = sources;
  }

  /** The batch, normalised where it is now; its tensors are the caller's to dispose. */
  take(): Batch {
    return tidy(() => {
      const tensors = this.#ahead.take();
      const [source, rest] = [tensors.slice(0, this.#sources), tensors.slice(this.#sources + 1)];
      const [target, valid] = this.#hasMargins ? [rest.slice(0, -1), rest.at(-1)] : [rest, undefined];
      const batch = {
        sourceImage: assembled(source, this.crop),
        sourceLabel: tensors[this.#sources]!.to('int64'),
        ...(target.length > 0 && { targetImage: assembled(target, this.crop) }),
        ...(valid && { targetValid: valid }),
      };
      for (const tensor of tensors) if (tensor !== valid) tensor.dispose();
      return batch;
    });
  }

  dispose(): void {
    this.#ahead.dispose();
  }
}

/** A whole image (3, H, W), uint8, normalised: (1, 3, H, W). */
export function wholeImage({ image }: { image: Tensor }): Tensor {
  return tidy(() => normalizeBytes(image.unsqueeze(0)));
}
