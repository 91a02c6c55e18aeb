// Masked image consistency (MIC: Hoyer et al. 2023, arXiv 2212.01322): most of an image is hidden, and the student has to
// tell from what is left what the teacher, or the label, says of all of it.

import { alone, type Generator, ops, rand, sizeOf, type Tensor, tidy, type World } from '@pgpc/torch';
import type { MaskedConsistencyOptions } from '../config/masked-consistency.js';

/** Images with what the student should say of them. */
export interface LabelledImages {
  /** (B, 3, H, W), normalised. */
  image: Tensor;
  /** (B, H, W), int64. */
  label: Tensor;
  /** (B, H, W): how much each pixel counts. */
  weight: Tensor;
}

/**
 * Images that are mostly hidden: of a grid of square patches each stays where a uniform number is above `ratio`, by itself,
 * so that `ratio` of an image is hidden on average. A hidden patch has the mean colour, which is 0 in a normalised image.
 * @param image (B, 3, H, W), normalised.
 * @param world the ranks that share the batch.
 */
export function masked(
  image: Tensor,
  { ratio, patch }: Pick<MaskedConsistencyOptions, 'ratio' | 'patch'>,
  generator: Generator,
  world: World = alone,
): Tensor {
  return tidy(() => {
    const { device, shape } = image;
    const size = sizeOf(image);
    const side = patchSide(patch, size[0]);
    const [rows, columns] = size.map((length) => Math.max(1, Math.round(length / side))) as [number, number];
    const drawn = world.part(rand([shape[0]! * world.size, 1, rows, columns], { generator, device }));
    return ops.upsampleNearest2d(drawn.gt(ratio).to(image.dtype), size).mul(image);
  });
}

/** Pixels of a patch's side. @param patch as a share of the crop's height. */
export function patchSide(patch: number, height: number): number {
  return Math.max(1, Math.round(patch * height));
}

/**
 * The images that are to be masked. Of `both` the first half of the batch is the source's, with its labels, and the others
 * are the target's.
 * @param world the ranks that share the batch, which is halved as a whole.
 */
export function imagesToMask(
  source: LabelledImages,
  target: LabelledImages,
  { domain }: Pick<MaskedConsistencyOptions, 'domain'>,
  world: World = alone,
): LabelledImages {
  if (domain !== 'both') return domain === 'source' ? source : target;
  const images = source.image.shape[0]!;
  const ofSource = Math.floor((images * world.size) / 2) - images * world.rank;
  const first = Math.max(0, Math.min(images, ofSource));
  const joined = (key: keyof LabelledImages) =>
    ops.cat([source[key].narrow(0, 0, first), target[key].narrow(0, first, images - first)]);
  return { image: joined('image'), label: joined('label'), weight: joined('weight') };
}
