// What the contrast makes of one target image, for people to look at: the rules are the step's own.

import { noGrad, ops, sizeOf, type Tensor, tidy, zeros } from '@pgpc/torch';
import { wholeBetweenMargins } from '../pipeline/margins.js';
import { entropy, pixelRows, rowsBetweenMargins } from '../pixels.js';
import type { AdaptationStep } from './step.js';

/** Maps at the decoder's resolution, (h, w). */
export interface ContrastView {
  /** The entropy of the teacher's prediction as a share of log C, the most there is: 0 .. 1. */
  readonly entropy: Tensor;
  /** The class that a pixel may be an anchor of, 255 where there is none; uint8. Undefined where no target pixel is an anchor. */
  readonly anchors: Tensor | undefined;
  /** (C, h, w), bool: the classes that a pixel may be a negative of. Undefined where no target pixel is a negative. */
  readonly negatives: Tensor | undefined;
}

/**
 * The teacher's view of a clean target image, and what a step that takes it as its whole batch would choose from. In the
 * mixed image the pixels under the pasted classes drop out, and of the others M anchors and some negatives of each class are
 * drawn. The step stays as it is: nothing is drawn, stored or remembered.
 * @param image (1, 3, H, W), normalised. The teacher runs in the mode that it is in.
 * @param iteration steps done. @returns undefined of a method without contrast.
 */
export function contrastView(
  { parts, method, totalIterations }: Pick<AdaptationStep, 'parts' | 'method' | 'totalIterations'>,
  image: Tensor,
  iteration: number,
): ContrastView | undefined {
  const { contrast, teacher } = parts;
  const { selfTraining } = method;
  if (!contrast || !teacher || !selfTraining) return undefined;
  return tidy(() =>
    noGrad(() => {
      const { logits } = parts.glance(teacher.view(image), image).contrast;
      const [height, width] = sizeOf(logits);
      const classes = logits.shape[1]!;
      const level = entropy(pixelRows(logits).softmax(1)).div(Math.log(classes));
      // The margins give neither anchors nor negatives, be they of the crop or of the camera's image.
      const [imageHeight, imageWidth] = sizeOf(image);
      const { first, end } = rowsBetweenMargins(height, imageHeight, selfTraining);
      const { imageMargins } = selfTraining;
      const valid =
        imageMargins &&
        wholeBetweenMargins({ width: imageWidth, height: imageHeight }, imageMargins).to({
          device: logits.device,
        });
      const rows = Math.max(0, end - first);
      const choice =
        rows > 0
          ? contrast.choice({ logits: logits.narrow(2, first, rows) }, iteration / totalIterations, valid)
          : { anchors: undefined, negatives: undefined };
      const placed = (inside: Tensor) => {
        const map = zeros([classes, height, width], { dtype: 'bool', device: logits.device });
        map.narrow(1, first, rows).copy_(inside.view([classes, rows, width]));
        return map;
      };
      return {
        entropy: level.view([height, width]),
        anchors: choice.anchors && classOf(placed(choice.anchors)),
        negatives: choice.negatives && placed(choice.negatives),
      };
    }),
  );
}

/** The one class that each pixel has, 255 where it has none: (C, h, w), bool, to (h, w), uint8. */
function classOf(members: Tensor): Tensor {
  const most = members.to('uint8').argmax(0);
  return ops.where(members.any(0), most, ops.fullLike(most, 255)).to('uint8');
}
