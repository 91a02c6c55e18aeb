// Boundary IoU: how well the outlines of the classes agree (Cheng et al. 2021, arXiv 2103.16562).

import { IGNORE_INDEX } from '@pgpc/datasets';
import { dims, ops, type Tensor, tidy } from '@pgpc/torch';
import { occurrencesWithin } from './counts.js';

/** The boundary's width as a share of the image's diagonal: the paper's 2 % (section 5). */
const BOUNDARY_RATIO = 0.02;

/** The width d of the boundary in pixels, at least 1, rounded as the authors' code does (half to even). */
export function boundaryWidth(height: number, width: number, ratio = BOUNDARY_RATIO): number {
  const exact = ratio * Math.hypot(height, width);
  const floor = Math.floor(exact);
  const up = exact - floor > 0.5 || (exact - floor === 0.5 && floor % 2 === 1);
  return Math.max(1, up ? floor + 1 : floor);
}

/** Running extreme over windows of `length` along `axis`; the result is `length` - 1 shorter. */
function runningExtreme(map: Tensor, axis: number, length: number, extreme: typeof ops.maximum): Tensor {
  let result = map;
  for (let covered = 1; covered < length; ) {
    // Windows of `covered`, one beside the other, as far as they are wanted.
    const shift = Math.min(covered, length - covered);
    const size = result.shape[axis]! - shift;
    result = extreme(result.narrow(axis, 0, size), result.narrow(axis, shift, size));
    covered += shift;
  }
  return result;
}

/** The extreme of the square of side 2d + 1 around every pixel; outside the map the value is `outside`. */
function squareExtreme(map: Tensor, d: number, extreme: typeof ops.maximum, outside: number): Tensor {
  const padded = map.constantPadNd([d, d, d, d], outside);
  const length = 2 * d + 1;
  return runningExtreme(runningExtreme(padded, 0, length, extreme), 1, length, extreme);
}

/**
 * Pixels at most `d` from another class or from outside the image. d erosions by a 3 x 3 square take the same pixels from
 * the mask of their class, so one map serves all classes.
 * @param map (H, W), uint8. @returns (H, W), bool.
 */
export function boundaryMask(map: Tensor, d: number): Tensor {
  return tidy(() => squareExtreme(map, d, ops.maximum, 255).ne(squareExtreme(map, d, ops.minimum, 0)));
}

/** Counts of boundary pixels by class, each (C), int64. */
export interface BoundaryCounts {
  intersection: Tensor;
  truth: Tensor;
  prediction: Tensor;
}

/**
 * Boundary pixels of every class in truth, prediction and both. The mask of a class and its boundary follow the
 * authors' definition (their equation 3). Pixels labelled 255 are cut out of both maps first, so they are of no class.
 * @param label (H, W), uint8. @param prediction (H, W), 0 .. C - 1.
 */
export function boundaryCounts(label: Tensor, prediction: Tensor, classes: number): BoundaryCounts {
  return tidy(() => {
    const [height, width] = dims(label, 2);
    const d = boundaryWidth(height, width);
    const known = label.ne(IGNORE_INDEX);
    const guess = prediction.to('uint8').maskedFill(known.logicalNot(), IGNORE_INDEX);
    const truthEdge = boundaryMask(label, d).logicalAnd_(known);
    const guessEdge = boundaryMask(guess, d).logicalAnd_(known);
    return {
      intersection: occurrencesWithin(
        label,
        truthEdge.logicalAnd(guessEdge).logicalAnd_(label.eq(guess)),
        classes,
      ),
      truth: occurrencesWithin(label, truthEdge, classes),
      prediction: occurrencesWithin(guess, guessEdge, classes),
    };
  });
}
