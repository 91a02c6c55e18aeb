// Scores without labels that ordered checkpoints the wrong way round (docs/results.md): density and margin.

import { ops, type Tensor, tidy } from '@pgpc/torch';
import { entropy } from '../pixels.js';

/** Sharpness of a pixel's neighbourhood in the soft neighbourhood density: 0.05 in Saito et al. */
const NEIGHBOUR_TEMPERATURE = 0.05;

/**
 * Soft neighbourhood density (Saito et al. 2021, arXiv 2108.10860): the mean entropy of each row's similarities
 * to all other rows, after a softmax. Dense clusters make it high. A single cluster of all rows makes it highest,
 * log (P - 1).
 * @param probabilities (P, C), P from 2, and small, since it takes P x P similarities. @returns scalar.
 */
export function softNeighbourhoodDensity(
  probabilities: Tensor,
  temperature: number = NEIGHBOUR_TEMPERATURE,
): Tensor {
  return tidy(() => {
    const rows = probabilities.div(probabilities.norm(2, [1], true));
    const similarity = rows.matmul(rows.t()).div(temperature);
    const itself = ops.eye(rows.shape[0]!, { device: rows.device }).to('bool');
    return entropy(similarity.maskedFill(itself, Number.NEGATIVE_INFINITY).softmax(1)).mean();
  });
}

/**
 * How clearly pixels belong to one prototype: the cosine to the nearest less that to the second, averaged.
 * @param z (P, D), unit rows. @param prototypes (C, D), unit rows, C from 2. @returns scalar, 0 .. 2.
 */
export function prototypeMargin(z: Tensor, prototypes: Tensor): Tensor {
  return tidy(() => {
    const [nearest] = z.matmul(prototypes.t()).topk(2, 1) as [Tensor, Tensor];
    return nearest.select(1, 0).sub(nearest.select(1, 1)).mean();
  });
}
