// What the files of a training take on the disk, by its networks.

import { itemSize, type Tensor, tidy } from '@pgpc/torch';
import { Learner } from '../adaptation/learner.js';
import { StepParts } from '../adaptation/step-parts.js';
import type { Experiment } from '../config/experiment.js';
import { withoutInitialValues } from '../models/initial-values.js';

/** In bytes, less the headers of the files. */
export interface SavedBytes {
  /** A training's state. */
  readonly state: number;
  /** The student's model. */
  readonly model: number;
}

/** Of a training with these parts. */
export function savedBytes(parts: StepParts): SavedBytes {
  const { student } = parts;
  return tidy(() => {
    const sum = (tensors: Iterable<Tensor>) =>
      [...tensors].reduce((bytes, { numel, dtype }) => bytes + numel * itemSize(dtype), 0);
    // The optimizer has two running means of each parameter, once there was a step.
    const means = 2 * sum(student.parameters());
    return {
      state: [...parts.state().values()].reduce((all, part) => all + sum(part.stateDict().values()), means),
      model: sum(student.segmentor.stateDict().values()),
    };
  });
}

/** Of a training that has not begun: its networks are built to count them, and freed. */
export function savedBytesOf({ segmentor, method, seed }: Experiment): SavedBytes {
  return withoutInitialValues(() => {
    const student = new Learner(segmentor, seed, method.contrast);
    try {
      const parts = new StepParts(method, student, seed);
      try {
        return savedBytes(parts);
      } finally {
        parts.dispose();
      }
    } finally {
      student.dispose();
    }
  });
}
