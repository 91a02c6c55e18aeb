// The teacher: the running average of the student (Tarvainen & Valpola 2017), in the mode that DAFormer runs it in.

import { nn, noGrad, type Tensor, tidy } from '@pgpc/torch';
import type { SegmentorConfig } from '../config/segmentor.js';
import { withoutInitialValues } from '../models/initial-values.js';
import type { SegmentorOutput } from '../models/segmentor.js';
import { Learner, type LearnerProjection } from './learner.js';

/** a = min(1 - 1 / (t + 1), alpha): 0 at the first step, so that the teacher starts as the student. */
export function emaDecay(iteration: number, alpha: number): number {
  return Math.min(1 - 1 / (iteration + 1), alpha);
}

/** theta' <- a theta' + (1 - a) theta; no gradient enters it. */
export class Teacher {
  readonly network: Learner;

  constructor(config: SegmentorConfig, student: Learner, projection?: LearnerProjection) {
    this.network = withoutInitialValues(() => new Learner(config, 0, projection));
    this.network.loadStateDict(student.stateDict());
    this.network.requiresGrad_(false);
    // As in the reference: batch norm works on the batch's statistics, and nothing is dropped.
    for (const module of this.network.namedModules().values()) {
      if (module instanceof nn.Dropout2d || module instanceof nn.DropPath) module.eval();
    }
  }

  /** Moves the parameters towards the student's; batch-norm statistics stay the teacher's own. */
  update(student: Learner, iteration: number, alpha: number): void {
    nn.emaUpdate_(this.network, student, emaDecay(iteration, alpha));
  }

  /** What it makes of the clean target batch, without gradient. */
  view(image: Tensor): SegmentorOutput {
    return tidy(() => noGrad(() => this.network.segmentor.call(image)));
  }
}
