// What the dashboard draws of a method's contrast: the prototypes of a checkpoint, and a sample of what the banks hold.

import { saveSafetensors, tidy } from '@pgpc/torch';
import type { PixelContrast } from '../adaptation/contrast/contrast.js';

/** Rows that are kept of all classes' queues together: a map of so many points is made in seconds, and weighs 400 KB. */
const ROWS = 768;
/** Rows of one class's queue. */
const ROWS_OF_CLASS = 64;

/** Writes `prototypes` (C, D), unit rows, float32, and `known` (C), uint8: which classes have one. */
export function savePrototypes(file: string, contrast: PixelContrast): void {
  tidy(() =>
    saveSafetensors(file, { prototypes: contrast.prototypes(), known: contrast.known().to('uint8') }),
  );
}

/**
 * Writes a sample of each store by its name, `centres`, `positives` or `negatives`: (R, D), unit rows, bfloat16; and under
 * the same with `.owner` the class in whose queue each row stands, (R), int32.
 */
export function saveMemory(file: string, contrast: PixelContrast): void {
  tidy(() => {
    const queues = contrast.classes * contrast.stores.length;
    const each = Math.max(1, Math.min(ROWS_OF_CLASS, Math.floor(ROWS / queues)));
    const tensors = [...contrast.memory(each)].flatMap(([name, { rows, owner }]) => [
      [name, rows.to('bfloat16')] as const,
      [`${name}.owner`, owner.to('int32')] as const,
    ]);
    saveSafetensors(file, new Map(tensors));
  });
}
