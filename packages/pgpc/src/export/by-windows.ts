// A network that sees an image by windows, as one that sees all of it: what a graph for one large image computes.

import type { Size } from '@pgpc/datasets';
import { nn, ops, sizeOf, type Tensor } from '@pgpc/torch';
import { boxOf, windowMean } from '../models/multi-resolution.js';
import type { Segmentor } from '../models/segmentor.js';
import { windowBoxes } from '../windows.js';
import type { ScoringNetwork } from './onnx.js';

/** The class scores of {@link Segmentor.ownWindows}, each resized to its window and averaged, as `pgpc predict` has them. */
class ByWindows extends nn.Module<[image: Tensor], { readonly logits: Tensor }> {
  readonly oneSizeBecause = 'its windows follow from the size of the image';

  constructor(
    readonly network: Segmentor,
    readonly windows: NonNullable<Segmentor['ownWindows']>,
  ) {
    super();
  }

  /** @param image (B, 3, H, W), normalised. @returns logits (B, C, H, W). */
  forward(image: Tensor): { readonly logits: Tensor } {
    const size = sizeOf(image);
    const boxes = windowBoxes(size, this.windows.window, this.windows.stride);
    const { logits } = this.network.call(ops.cat(boxes.map((box) => boxOf(image, box, size))));
    const { height, width } = boxes[0]!;
    const maps = nn.interpolate(logits, [height, width]);
    return { logits: windowMean(boxes, size, maps)(maps) };
  }
}

/**
 * What a graph for one size is of: by windows where the network has windows of its own and the image is larger.
 * @param size of the image; undefined: any
 */
export function asItSees(segmentor: Segmentor, size: Size | undefined): ScoringNetwork {
  const { ownWindows } = segmentor;
  if (!size || !ownWindows) return segmentor;
  const { width, height } = ownWindows.window;
  return size.width > width || size.height > height ? new ByWindows(segmentor, ownWindows) : segmentor;
}
