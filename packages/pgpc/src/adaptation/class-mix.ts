// ClassMix: half of the source classes pasted onto the target image (Olsson et al. 2021, as DACS and DAFormer use it).

import { IGNORE_INDEX } from '@pgpc/datasets';
import { alone, dims, type Generator, ops, rand, type Tensor, type World, zeros } from '@pgpc/torch';

/**
 * Which pixels of each mixed image come from the source. n values occur in the source labels of the whole batch (255
 * counts as one). Every image draws ceil(n/2) of them anew, and takes the source's pixels with these labels.
 * @param label (B, H, W), int64 in 0 .. classes - 1 or 255.
 * @param world the ranks that share the batch.
 * @returns (B, H, W), bool. The host does not wait for the device.
 */
export function classMixMask(
  label: Tensor,
  classes: number,
  generator: Generator,
  world: World = alone,
): Tensor {
  const [n, height, width] = dims(label, 3);
  const value = label.maskedFill(label.eq(IGNORE_INDEX), classes);
  const { device } = label;
  // Not `bincount`, which asks the device for the largest value.
  const occurs = zeros([classes + 1], { dtype: 'int64', device }).scatter_(0, value.flatten(), 1);
  const present = world.sum(occurs).gt(0);
  const chosen = present.sum().add(1).floorDivide(2);
  // Every image ranks the present values at random; the first half are its classes.
  const drawn = world.part(rand([n * world.size, classes + 1], { generator, device }));
  const keys = drawn.maskedFill(present.logicalNot(), -1);
  const rank = keys.argsort(1, true).argsort(1);
  const picked = rank.lt(chosen).logicalAnd(present);
  return picked.gather(1, value.view([n, -1])).view([n, height, width]);
}

/** mask * source + (1 - mask) * target, for images (B, 3, H, W) as well as labels and weights (B, H, W). */
export function mix(mask: Tensor, source: Tensor, target: Tensor): Tensor {
  return ops.where(source.ndim === 4 ? mask.unsqueeze(1) : mask, source, target);
}
