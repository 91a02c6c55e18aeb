// The confusion matrix, counted in tensors.

import { type Tensor, tidy } from '@pgpc/torch';
import { occurrences } from './counts.js';

/**
 * Pixels by true and predicted class: (C, C), int64; rows are the truth. Pixels labelled 255 do not count. Computed where
 * the maps are, without waiting for the device.
 * @param label (H, W), uint8. @param prediction (H, W), uint8 or int64, 0 .. C - 1.
 */
export function confusionMatrix(label: Tensor, prediction: Tensor, classes: number): Tensor {
  return tidy(() => {
    // Ignored pixels fall into a row of their own below the others.
    const row = label.clamp(0, classes).to('int32').mul_(classes);
    return occurrences(row.add_(prediction).flatten(), (classes + 1) * classes)
      .narrow(0, 0, classes * classes)
      .view([classes, classes])
      .clone();
  });
}
