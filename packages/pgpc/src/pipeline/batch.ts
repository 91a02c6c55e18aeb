// What one training step is given.

import type { Tensor } from '@pgpc/torch';

/** Images are (B, 3, H, W), float32, normalised; labels (B, H, W), int64: trainIds, 255 = no class. */
export interface Batch {
  sourceImage: Tensor;
  sourceLabel: Tensor;
  /** Absent for methods that train on the source alone, see `usesTarget`. */
  targetImage?: Tensor;
  /** (B, H, W), float32: 1 between the margins of the camera's image, 0 in them; absent where it has none. */
  targetValid?: Tensor;
}

/** A batch of methods that adapt. */
export type TargetBatch = Batch & Required<Pick<Batch, 'targetImage'>>;

/** Frees a batch's tensors. */
export function disposeBatch(batch: Batch | undefined): void {
  batch?.sourceImage.dispose();
  batch?.sourceLabel.dispose();
  batch?.targetImage?.dispose();
  batch?.targetValid?.dispose();
}
