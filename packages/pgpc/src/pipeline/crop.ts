// Crops and whole images as normalised tensors.

import { fromTypedArray, ops, type Tensor, tidy } from '@pgpc/torch';
import { normalize } from './normalize.js';
import type { Crop } from './sample.js';
import type { CropOptions } from './window.js';

/** Bytes (N, 3, H, W) to the network's input. */
function normalizeBytes(image: Tensor): Tensor {
  return normalize(image.to('float32').div_(255));
}

/** Images of crops as one normalised batch (N, 3, h, w), float32; what lies outside an image is 0. */
export function imageBatch(crops: readonly Crop[], { width, height }: CropOptions): Tensor {
  return tidy(() => {
    const images = crops.map((crop) => fromTypedArray(crop.image, [1, 3, crop.height, crop.width]));
    if (crops.every((crop) => crop.width === width && crop.height === height)) {
      return normalizeBytes(ops.cat(images));
    }
    const padded = images.map((image) => {
      const [, , h, w] = image.shape as [number, number, number, number];
      return normalizeBytes(image).constantPadNd([0, width - w, 0, height - h], 0);
    });
    return ops.cat(padded);
  });
}

/** Labels of the same crops: (N, h, w), int64; what lies outside a label is 255. */
export function labelBatch(crops: readonly Crop[], { width, height }: CropOptions): Tensor {
  return tidy(() => {
    const labels = crops.map(({ label }) => fromTypedArray(label!, [1, height, width]));
    return ops.cat(labels).to('int64');
  });
}

/** A whole image (3, H, W), uint8, normalised: (1, 3, H, W). */
export function wholeImage({ image }: { image: Tensor }): Tensor {
  return tidy(() => normalizeBytes(image.unsqueeze(0)));
}
