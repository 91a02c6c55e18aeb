// Whether a weights file can hold a network of the width that it claims, told before that is built.

import type { Tensor } from '@pgpc/torch';
import type { SegmentorConfig } from '../config/segmentor.js';

/** Heads whose width is a choice mix the four stages' features: width x 4 width numbers at least. */
const STAGES = 4;

/** @throws Error for a decoder whose width the file's numbers cannot fill: to build it could take any memory. */
export function refuseClaimedWidth(
  path: string,
  { head, channels }: Pick<SegmentorConfig, 'head' | 'channels'>,
  tensors: ReadonlyMap<string, Tensor>,
): void {
  if (head !== 'daformer' && head !== 'segformer') return;
  const held = [...tensors.values()].reduce((sum, { numel }) => sum + numel, 0);
  if (STAGES * channels ** 2 > held) {
    throw new Error(
      `${path}: its ${held} numbers cannot be a network whose decoder has ${channels} channels`,
    );
  }
}
