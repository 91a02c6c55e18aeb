// The pictures of one prediction, by kind.

import { type ClassInfo, encodeGrey, type RgbImage } from '@pgpc/datasets';
import { dims, type Tensor, tidy } from '@pgpc/torch';
import { encodeLabels } from './label-files.js';
import { blended, withLegend } from './overlay.js';
import type { LabelFormat, PictureKind } from './prediction-format.js';
import type { Classified } from './row-map.js';

/** Where a picture lies, below the folder of predictions. */
export const pictureOf = (kind: PictureKind, id: string): string =>
  `${kind}/${id}.${kind === 'overlays' ? 'jpg' : 'png'}`;

/** What to make of a prediction. */
export interface PictureOptions {
  readonly kinds: readonly PictureKind[];
  /** What label maps hold. */
  readonly labels: LabelFormat;
  readonly classes: readonly ClassInfo[];
}

/**
 * The pictures as bytes. The tensors are read before it returns; compressing is then under way and does not hold up the caller.
 * @param shares of the classes that are there, by name.
 */
export function picturesOf(
  image: RgbImage,
  { labels, confidence }: Classified,
  shares: Readonly<Record<string, number>>,
  { kinds, labels: format, classes }: PictureOptions,
): Promise<[PictureKind, Uint8Array][]> {
  const encode = (kind: PictureKind): Promise<Uint8Array> => {
    if (kind === 'labels') return encodeLabels(labels, classes, format);
    if (kind === 'colors') return encodeLabels(labels, classes, 'color');
    if (kind === 'confidence') return encodeConfidence(confidence!);
    const legend = classes.flatMap(({ name, color }) => {
      const share = shares[name];
      return share === undefined ? [] : [{ name, color, share }];
    });
    return withLegend(blended(image, labels, classes), legend);
  };
  const pictures = Promise.all(
    kinds.map(async (kind): Promise<[PictureKind, Uint8Array]> => [kind, await encode(kind)]),
  );
  // A failure is thrown where they are awaited.
  pictures.catch(() => {});
  return pictures;
}

/** A number a pixel, 0 .. 1, as grey: 0 is black and 1 white. @param confidence (H, W), float32. */
function encodeConfidence(confidence: Tensor): Promise<Uint8Array> {
  const [height, width] = dims(confidence, 2);
  using levels = tidy(() => confidence.mul(255).round().clamp(0, 255).to('uint8'));
  return encodeGrey({ width, height, data: levels.toArray() as Uint8Array }, 3);
}
