// The classes over which results on Cityscapes are averaged when the source is SYNTHIA.

import { meanOfKnown } from './scores.js';

/**
 * trainIds by the number of classes. SYNTHIA has no terrain, truck and train: 16 remain; older work also leaves out
 * wall, fence and pole: 13 (Zou et al., ECCV 2018; Tsai et al., CVPR 2018).
 */
export const CITYSCAPES_PROTOCOLS = {
  19: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18],
  16: [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 15, 17, 18],
  13: [0, 1, 2, 6, 7, 8, 10, 11, 12, 13, 15, 17, 18],
} as const satisfies Record<number, readonly number[]>;

/** The number of classes that a mean is taken over. */
export type Protocol = keyof typeof CITYSCAPES_PROTOCOLS;

/**
 * Mean IoU over the classes of a protocol. Each IoU comes from the confusion matrix of all 19 classes, as in the
 * literature: the pixels of the classes left out still count as errors of the classes predicted there.
 * @param iou of the 19 classes, NaN for one that does not occur.
 */
export function protocolMiou(iou: readonly number[], protocol: Protocol): number {
  return meanOfKnown(CITYSCAPES_PROTOCOLS[protocol].map((trainId) => iou[trainId]!));
}
