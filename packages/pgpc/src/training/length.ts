// Another number of steps for a training that is under way or done.

import { isDeepStrictEqual } from 'node:util';
import type { Experiment } from '../config/experiment.js';
import { UsageError } from '../config/usage-error.js';

/**
 * The experiment with another number of steps, from where it stands. The learning rate follows its schedule over the new
 * number; what has set in, or is still to come, stays at its step.
 * @param done steps. @throws UsageError for no more steps than are done.
 */
export function lengthened(experiment: Experiment, iterations: number, done: number): Experiment {
  if (iterations <= done) {
    throw new UsageError(
      `--iterations ${iterations}: ${done} steps are done already; it is the number of all steps`,
    );
  }
  const { contrast } = experiment.method;
  if (!contrast) return { ...experiment, iterations };
  const begin = Math.ceil(contrast.warmup * experiment.iterations);
  const warmup = Math.min(1, begin / iterations);
  return { ...experiment, iterations, method: { ...experiment.method, contrast: { ...contrast, warmup } } };
}

/** Whether two experiments differ only in what may be changed when one is resumed: number of steps, learning rate, precision, steps to skip. */
export function sameButChangeable(a: Experiment, b: Experiment): boolean {
  return isDeepStrictEqual(unchangeable(a), unchangeable(b));
}

/** As JSON has it: what is undefined is not there. */
function unchangeable(experiment: Experiment): unknown {
  const { precision: _, skipNotFinite: __, ...plain } = JSON.parse(JSON.stringify(experiment)) as Experiment;
  return {
    ...plain,
    iterations: 0,
    optimizer: { ...plain.optimizer, lr: 0 },
    method: {
      ...plain.method,
      ...(plain.method.contrast && { contrast: { ...plain.method.contrast, warmup: 0 } }),
    },
  };
}
