// A limit on a sweep's time, and which of its runs can be expected to end within it, judged by the runs before them.

import type { Experiment } from '../config/experiment.js';

/** Forward passes that a step takes as long as: a backward pass counts two. Enough to tell a method from another. */
function workOfStep({ method }: Experiment): number {
  const { selfTraining, denoise, contrast, maskedConsistency } = method;
  // The source forth and back; the teacher's pass, and the mixed images forth and back; what denoising looks at again.
  const adapted = selfTraining ? 4 + (denoise?.kind === 'agreement' ? 1 : 0) : 0;
  const others = (contrast?.anchorView === 'target' ? 3 : 0) + (maskedConsistency ? 3 : 0);
  return 3 + adapted + others;
}

/** What one run took so far. */
interface Taken {
  /** Forward passes. */
  work: number;
  /** Milliseconds of its steps. */
  steps: number;
  /** Milliseconds before its steps and after them. */
  around: number;
}

/** Told of a run's steps, and of its end. */
export interface RunWatch {
  step(done: number): void;
  end(): void;
}

export class TimeBudget {
  /** Aborted at the limit. */
  readonly signal: AbortSignal;
  readonly #end: number;
  readonly #taken: Taken[] = [];

  /** @param ms from now. @param now milliseconds, of any origin. */
  constructor(
    ms: number,
    readonly now: () => number = () => performance.now(),
  ) {
    this.signal = AbortSignal.timeout(Math.min(Math.ceil(ms), 2 ** 31 - 1));
    this.#end = now() + ms;
  }

  /** Whether the run, if it started now, could be expected to end in time; before anything has run, any run could. */
  fits(experiment: Experiment): boolean {
    const sum = (key: keyof Taken) => this.#taken.reduce((total, taken) => total + taken[key], 0);
    const steps = (sum('steps') / Math.max(1, sum('work'))) * experiment.iterations * workOfStep(experiment);
    const ended = this.#taken.filter(({ around }) => around > 0).length;
    return this.now() + steps + sum('around') / Math.max(1, ended) <= this.#end;
  }

  /** A run that starts now. */
  watch(experiment: Experiment): RunWatch {
    const began = this.now();
    const work = workOfStep(experiment);
    const taken: Taken = { work: 0, steps: 0, around: 0 };
    this.#taken.push(taken);
    let first: { done: number; at: number } | undefined;
    let last = began;
    return {
      step: (done) => {
        last = this.now();
        first ??= { done, at: last };
        taken.work = (done - first.done) * work;
        taken.steps = last - first.at;
      },
      end: () => {
        if (first) taken.around = first.at - began + (this.now() - last);
      },
    };
  }
}
