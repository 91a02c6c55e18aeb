// From an image to its label map: whole or by sliding windows, mirrored and at several scales.

import type { RgbImage } from '@pgpc/datasets';
import { resizeWindow, type Size, scaledSize } from '@pgpc/datasets';
import { fromTypedArray, noGrad, ops, sizeOf, type Tensor, tidy } from '@pgpc/torch';
import { boxOf } from '../models/multi-resolution.js';
import { normalize } from '../pipeline/normalize.js';
import { windowBoxes } from '../windows.js';
import {
  averagedTiles,
  type Classified,
  classifyRows,
  mirroredRows,
  type RowMap,
  resizedRows,
  tensorRows,
} from './row-map.js';

/** What inference needs of a network: class scores, at any stride, of normalised images (B, 3, H, W). */
export interface Network {
  call(image: Tensor): { readonly logits: Tensor };
  /** Its weights, which tell its device; without them it is the CPU. */
  parameters?(): readonly Tensor[];
  /** Windows through which it sees an image larger than they are, as it was trained; left out: it takes whole images. */
  readonly ownWindows?: Pick<SlidingWindow, 'window' | 'stride'> | undefined;
}

/** The device that a network computes on, where its input has to be. */
export function networkDevice(network: Pick<Network, 'parameters'>): string {
  return network.parameters?.()[0]?.device ?? 'cpu';
}

/** Sliding windows over the network's input. */
export interface SlidingWindow {
  /** An image that is smaller in a direction is one window there, without padding. */
  readonly window: Size;
  /** From window to window; at most the window's size. */
  readonly stride: Size;
  /** Windows of one forward pass; 1 by default. */
  readonly batch?: number;
}

export interface InferenceOptions {
  /**
   * The image enters the network at the largest size whose long and short side fit the given ones, its ratio kept:
   * 1024 x 512 is DAFormer's for Cityscapes. By default it enters as it is.
   */
  readonly size?: Size | undefined;
  /** Factors of that size; several are averaged. [1] by default. */
  readonly scales?: readonly number[] | undefined;
  /** Also the mirrored image, averaged with the other. */
  readonly flip?: boolean | undefined;
  /** Windows instead of the whole image; false: the whole image, whatever the network is for. Left out: as the network is for. */
  readonly slide?: SlidingWindow | false | undefined;
}

/** @throws RangeError that names the option. */
export function checkInference({ scales = [1], slide }: InferenceOptions): void {
  if (scales.length === 0 || scales.some((scale) => !(scale > 0 && Number.isFinite(scale)))) {
    throw new RangeError(`scales must be one or more positive numbers, not [${scales}]`);
  }
  if (!slide) return;
  const { window, stride, batch = 1 } = slide;
  for (const side of ['width', 'height'] as const) {
    if (!Number.isSafeInteger(window[side]) || window[side] < 1) {
      throw new RangeError(`the window's ${side} must be a positive whole number, not ${window[side]}`);
    }
    if (!Number.isSafeInteger(stride[side]) || stride[side] < 1 || stride[side] > window[side]) {
      throw new RangeError(
        `the stride's ${side} must be from 1 to the window's ${window[side]}, not ${stride[side]}: pixels between windows would have no class`,
      );
    }
  }
  if (!Number.isSafeInteger(batch) || batch < 1) {
    throw new RangeError(`the windows of a pass must be a positive whole number, not ${batch}`);
  }
}

/** The image at another size, as OpenCV resizes it, on a device and normalised: (1, 3, height, width). */
export function networkInput(image: RgbImage, { width, height }: Size, device: string): Tensor {
  return tidy(() => {
    const whole = { top: 0, left: 0 };
    // Bytes travel, a quarter of the floats.
    const placed = (bytes: Tensor) => bytes.to({ device, nonBlocking: true });
    const pixels =
      width === image.width && height === image.height
        ? placed(fromTypedArray(image.data, [height, width, 3]))
            .permute([2, 0, 1])
            .contiguous()
        : placed(
            fromTypedArray(
              resizeWindow(
                image,
                { ...whole, width: image.width, height: image.height },
                image,
                { width, height },
                { ...whole, width, height },
                false,
              ),
              [3, height, width],
            ),
          );
    return normalize(pixels.unsqueeze(0).to('float32').div_(255));
  });
}

/** Encoders bring images down to a 32nd of their sides, over maps that must not become smaller than their kernels. */
const SMALL = 32;

/** @throws Error that says so where an image is too small for the network, which libtorch would only say of a layer. */
function logitsOf(network: Network, input: Tensor): Tensor {
  try {
    return network.call(input).logits;
  } catch (error) {
    const [height, width] = sizeOf(input);
    if (Math.min(width, height) >= SMALL) throw error;
    throw new Error(
      `an image of ${width}x${height} is too small for this network; --input-size enlarges images, such as --input-size 256x256`,
      { cause: error },
    );
  }
}

/** Class scores of each image of `input` (B, 3, h, w), at its size. */
function scoreMaps(network: Network, input: Tensor, slide: SlidingWindow | undefined): RowMap[] {
  const [height, width] = sizeOf(input);
  const each = Array.from({ length: input.shape[0]! }, (_, i) => i);
  if (slide) return each.map((i) => slidMap(network, input.narrow(0, i, 1), slide));
  const logits = logitsOf(network, input);
  return each.map((i) => resizedRows(tensorRows(logits.narrow(0, i, 1)), { width, height }));
}

/** Class scores by windows, at the size of `input` (1, 3, h, w). */
function slidMap(network: Network, input: Tensor, slide: SlidingWindow): RowMap {
  const [height, width] = sizeOf(input);
  const { window, stride, batch = 1 } = slide;
  const boxes = windowBoxes([height, width], window, stride);
  const tiles = [];
  for (let i = 0; i < boxes.length; i += batch) {
    const group = boxes.slice(i, i + batch);
    const logits = tidy(() =>
      logitsOf(network, ops.cat(group.map((box) => boxOf(input, box, [height, width])))),
    );
    for (const [n, box] of group.entries()) {
      tiles.push({ ...box, map: resizedRows(tensorRows(logits.narrow(0, n, 1)), box) });
    }
  }
  return averagedTiles(tiles, { width, height });
}

/**
 * The most likely class of every pixel, as mmsegmentation finds it. The logits of every view (scale, mirrored or not) are
 * resized to the network's input, averaged over windows where there are several, and resized to the image (`align_corners`
 * false). Over several views the softmax of each is averaged. The largest value wins. All of it runs a few rows at a time,
 * so that no map of all classes at the image's size is ever held.
 * @param network in evaluation mode. @returns (H, W) of the image, uint8, on the network's device.
 * @throws RangeError for options that do not fit.
 */
export function predictLabels(network: Network, image: RgbImage, options: InferenceOptions = {}): Tensor {
  return classify(network, [image], options)[0]!.labels;
}

/**
 * {@link predictLabels} of several images of one size, which go through the network together, each view in one pass; by
 * windows one image after another.
 * @param confidence whether also the probability of each pixel's class is computed.
 * @throws RangeError for images of several sizes, and for options that do not fit.
 */
export function classify(
  network: Network,
  images: readonly RgbImage[],
  options: InferenceOptions = {},
  confidence = false,
): Classified[] {
  checkInference(options);
  const { size, scales = [1], flip = false } = options;
  const slide = (options.slide ?? network.ownWindows) || undefined;
  const { width, height } = images[0]!;
  if (images.some((image) => image.width !== width || image.height !== height)) {
    throw new RangeError('images that go through the network together must be of one size');
  }
  return tidy(() =>
    noGrad(() => {
      const bounds = size ?? { width, height };
      const device = networkDevice(network);
      /** Of each image, the maps of its views. */
      const maps: RowMap[][] = images.map(() => []);
      const add = (views: readonly RowMap[]) => {
        for (const [i, view] of views.entries()) maps[i]!.push(resizedRows(view, { width, height }));
      };
      for (const scale of scales) {
        const scaled = { width: Math.floor(bounds.width * scale), height: Math.floor(bounds.height * scale) };
        const inputs = images.map((image) => networkInput(image, scaledSize(image, scaled), device));
        const input = inputs.length === 1 ? inputs[0]! : ops.cat(inputs);
        add(scoreMaps(network, input, slide));
        if (flip) add(scoreMaps(network, input.flip([3]), slide).map(mirroredRows));
      }
      return maps.map((views) => classifyRows(views, confidence));
    }),
  );
}
