// Negatives: for every class, the pixels that are certainly not of it (eq 10, 11).

import type { Tensor } from '@pgpc/torch';
import { classMembers } from './positives.js';

/** O_i(c): the rank of class c among the probabilities of pixel i, 0 for the most likely. (P, C) to (C, P), int64. */
export function classRanks(probabilities: Tensor): Tensor {
  return probabilities.argsort(1, true).argsort(1).t();
}

/**
 * Source pixels qualified as negatives of c: those whose label is another class (eq 10).
 * @param label (P), int64 in 0 .. C - 1 or 255; pixels without a class serve no class.
 * @returns (C, P), bool.
 */
export function sourceNegatives(label: Tensor, classes: number): Tensor {
  return classMembers(label, classes).logicalNot().logicalAnd(label.lt(classes));
}

/**
 * Target pixels qualified as negatives of c: those for which c is not among the r most likely classes, O_i(c) >= r
 * (eq 11). A pixel that hesitates between a few classes still serves all the others.
 * @param probabilities (P, C), the teacher's. @returns (C, P), bool.
 */
export function targetNegatives(probabilities: Tensor, r: number): Tensor {
  return classRanks(probabilities).ge(r);
}
