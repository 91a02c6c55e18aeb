// Positives: the centre of each class's pixels, from which prototypes are made (eq 9).

import { alone, type Tensor, type World } from '@pgpc/torch';

export interface Centres {
  /** (C, D): the mean of z over the class's pixels; zeros for an absent class. */
  centre: Tensor;
  /** (C), bool: which classes have pixels. */
  present: Tensor;
}

/**
 * The mean feature of every class in the batch (eq 9).
 * @param z (P, D), unit rows. @param label (P), int64 in 0 .. C - 1 or 255.
 * @param world of whose batch these are the pixels of a part.
 */
export function classCentres(z: Tensor, label: Tensor, classes: number, world: World = alone): Centres {
  const members = classMembers(label, classes).to('float32');
  const count = world.sum(members.sum([1]));
  return { centre: world.sum(members.matmul(z)).div(count.clampMin(1).unsqueeze(1)), present: count.gt(0) };
}

/** (C, P), bool: which pixels have the class as their label; pixels without a class are nobody's. */
export function classMembers(label: Tensor, classes: number): Tensor {
  const clamped = label.clampMax(classes);
  return clamped
    .oneHot(classes + 1)
    .narrow(1, 0, classes)
    .t()
    .to('bool');
}
