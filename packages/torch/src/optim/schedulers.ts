// Learning rates that follow the number of steps, with PyTorch's names and defaults.

import type { Optimizer } from './optimizer.js';

/** The rate of a group at step t, from 0, from the rate that it started with. */
export type Rate = (t: number, base: number, group: number) => number;

/** All that a schedule needs to resume: plain values for JSON. */
export interface SchedulerState {
  lastStep: number;
  baseLrs: number[];
}

/** What each group started with: schedules that share an optimizer start from the same. PyTorch's `initial_lr`. */
const initialRates = new WeakMap<Optimizer, readonly number[]>();

function initialRatesOf(optimizer: Optimizer): readonly number[] {
  const rates = initialRates.get(optimizer) ?? optimizer.groups.map(({ lr }) => lr);
  initialRates.set(optimizer, rates);
  return rates;
}

/**
 * The base class of schedules, and one of your own: `new LRScheduler(optimizer, (t, base) => base / (1 + t))`.
 *
 * A schedule is a function of the number of steps. Making one sets the rates of step 0; `step()`, after the optimizer's,
 * the next step's. Rates that a program sets in between are set anew.
 */
export class LRScheduler {
  readonly optimizer: Optimizer;
  readonly #rate: Rate;
  readonly #momentum: ((t: number) => number | undefined) | undefined;
  #baseLrs: readonly number[];
  #lastStep = 0;

  /** @param momentum of a step, for schedules that move it as well; undefined leaves it */
  constructor(optimizer: Optimizer, rate: Rate, momentum?: (t: number) => number | undefined) {
    this.optimizer = optimizer;
    this.#rate = rate;
    this.#momentum = momentum;
    this.#baseLrs = initialRatesOf(optimizer);
    this.#apply();
  }

  /** The number of steps so far. */
  get lastStep(): number {
    return this.#lastStep;
  }

  /** The rate of a group at step t, which changes nothing. */
  rateAt(t: number, base: number, group: number): number {
    return this.#rate(t, base, group);
  }

  /** The momentum at step t, or undefined where the schedule leaves it. */
  momentumAt(t: number): number | undefined {
    return this.#momentum?.(t);
  }

  /** The rates of all groups now. */
  getLastLr(): number[] {
    return this.optimizer.groups.map(({ lr }) => lr);
  }

  /** Sets the rates of the next step. */
  step(): void {
    this.#lastStep += 1;
    this.#apply();
  }

  stateDict(): SchedulerState {
    return { lastStep: this.#lastStep, baseLrs: [...this.#baseLrs] };
  }

  /** Resumes: sets the rates of the step that the state is of. @throws Error for a state of another number of groups */
  loadStateDict({ lastStep, baseLrs }: SchedulerState): void {
    const { length } = this.optimizer.groups;
    if (baseLrs.length !== length) {
      throw new Error(
        `The state is of a schedule of ${baseLrs.length} groups, but the optimizer has ${length}.`,
      );
    }
    this.#lastStep = lastStep;
    this.#baseLrs = [...baseLrs];
    initialRates.set(this.optimizer, this.#baseLrs);
    this.#apply();
  }

  #apply(): void {
    for (const [group, base] of this.#baseLrs.entries()) {
      this.optimizer.setLr(group, this.#rate(this.#lastStep, base, group));
    }
    const momentum = this.momentumAt(this.#lastStep);
    if (momentum !== undefined) this.optimizer.setMomentum(momentum);
  }
}

/** @throws RangeError for what is no whole number from 1 */
function checkCount(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new RangeError(`${name} must be a whole number from 1, but is ${value}.`);
}

/** Times what a function of the step gives, one for all groups or one for each. */
export class LambdaLR extends LRScheduler {
  constructor(optimizer: Optimizer, factor: ((t: number) => number) | readonly ((t: number) => number)[]) {
    const factors = typeof factor === 'function' ? optimizer.groups.map(() => factor) : factor;
    if (factors.length !== optimizer.groups.length) {
      throw new RangeError(`LambdaLR has ${factors.length} functions for ${optimizer.groups.length} groups.`);
    }
    super(optimizer, (t, base, group) => base * factors[group]!(t));
  }
}

/** Times gamma every `stepSize` steps. */
export class StepLR extends LRScheduler {
  constructor(optimizer: Optimizer, stepSize: number, { gamma = 0.1 }: { gamma?: number } = {}) {
    checkCount("StepLR's stepSize", stepSize);
    super(optimizer, (t, base) => base * gamma ** Math.floor(t / stepSize));
  }
}

/** Times gamma at each of the steps given. */
export class MultiStepLR extends LRScheduler {
  constructor(optimizer: Optimizer, milestones: readonly number[], { gamma = 0.1 }: { gamma?: number } = {}) {
    super(optimizer, (t, base) => base * gamma ** milestones.filter((milestone) => milestone <= t).length);
  }
}

/** Times gamma every step. */
export class ExponentialLR extends LRScheduler {
  constructor(optimizer: Optimizer, gamma: number) {
    super(optimizer, (t, base) => base * gamma ** t);
  }
}

/** Times a factor for the first `totalIters` steps. */
export class ConstantLR extends LRScheduler {
  constructor(
    optimizer: Optimizer,
    { factor = 1 / 3, totalIters = 5 }: { factor?: number; totalIters?: number } = {},
  ) {
    super(optimizer, (t, base) => (t < totalIters ? base * factor : base));
  }
}

/** Times a factor that goes from one to another in a line over `totalIters` steps, and stays: a warm-up by default. */
export class LinearLR extends LRScheduler {
  constructor(
    optimizer: Optimizer,
    {
      startFactor = 1 / 3,
      endFactor = 1,
      totalIters = 5,
    }: { startFactor?: number; endFactor?: number; totalIters?: number } = {},
  ) {
    checkCount("LinearLR's totalIters", totalIters);
    super(
      optimizer,
      (t, base) => base * (startFactor + ((endFactor - startFactor) * Math.min(t, totalIters)) / totalIters),
    );
  }
}

/** Times (1 - t / totalIters)^power, down to 0. */
export class PolynomialLR extends LRScheduler {
  constructor(
    optimizer: Optimizer,
    { totalIters = 5, power = 1 }: { totalIters?: number; power?: number } = {},
  ) {
    checkCount("PolynomialLR's totalIters", totalIters);
    super(optimizer, (t, base) => base * (1 - Math.min(t, totalIters) / totalIters) ** power);
  }
}

/** Half a cosine from one value, at share 0, to another, at share 1. */
function cosine(from: number, to: number, share: number): number {
  return to + ((from - to) * (1 + Math.cos(Math.PI * share))) / 2;
}

/** Along a cosine to `etaMin` at step `tMax`, and back (Loshchilov & Hutter 2017, without restarts). */
export class CosineAnnealingLR extends LRScheduler {
  constructor(optimizer: Optimizer, tMax: number, { etaMin = 0 }: { etaMin?: number } = {}) {
    checkCount("CosineAnnealingLR's tMax", tMax);
    super(optimizer, (t, base) => cosine(base, etaMin, t / tMax));
  }
}

/** Along a cosine to `etaMin` over `t0` steps, then again from the start, each time `tMult` times as long. */
export class CosineAnnealingWarmRestarts extends LRScheduler {
  constructor(
    optimizer: Optimizer,
    t0: number,
    { tMult = 1, etaMin = 0 }: { tMult?: number; etaMin?: number } = {},
  ) {
    checkCount("CosineAnnealingWarmRestarts's t0", t0);
    checkCount("CosineAnnealingWarmRestarts's tMult", tMult);
    super(optimizer, (t, base) => {
      let [at, length] = [tMult === 1 ? t % t0 : t, t0];
      while (at >= length) {
        at -= length;
        length *= tMult;
      }
      return cosine(base, etaMin, at / length);
    });
  }
}

export interface OneCycleOptions {
  /** The largest rate, of all groups or of each. */
  maxLr: number | readonly number[];
  /** The length of the run in steps; or `epochs` and `stepsPerEpoch`. */
  totalSteps?: number;
  epochs?: number;
  stepsPerEpoch?: number;
  /** Share of the steps in which the rate rises. */
  pctStart?: number;
  annealStrategy?: 'cos' | 'linear';
  /** Whether the momentum moves against the rate; needs an optimizer that has one. */
  cycleMomentum?: boolean;
  baseMomentum?: number;
  maxMomentum?: number;
  /** The first rate is `maxLr` divided by this. */
  divFactor?: number;
  /** The last rate is the first one divided by this. */
  finalDivFactor?: number;
  /** Whether the rate falls to the first one as fast as it rose, and then to the last. */
  threePhase?: boolean;
}

/** Up to a large rate and down to a tiny one, while the momentum moves the other way (Smith & Topin 2018). */
export class OneCycleLR extends LRScheduler {
  /** @throws RangeError without the number of steps; Error for an optimizer without a momentum to move */
  constructor(optimizer: Optimizer, options: OneCycleOptions) {
    const { maxLr, epochs = 0, stepsPerEpoch = 0, pctStart = 0.3, annealStrategy = 'cos' } = options;
    const { cycleMomentum = true, baseMomentum = 0.85, maxMomentum = 0.95 } = options;
    const { divFactor = 25, finalDivFactor = 1e4, threePhase = false } = options;
    const total = checkCount(
      "OneCycleLR's totalSteps (or epochs times stepsPerEpoch)",
      options.totalSteps ?? epochs * stepsPerEpoch,
    );
    if (cycleMomentum && optimizer.momentum === undefined) {
      throw new Error(
        `${optimizer.constructor.name} has no momentum for OneCycleLR to move: cycleMomentum: false leaves it out.`,
      );
    }
    const most = typeof maxLr === 'number' ? optimizer.groups.map(() => maxLr) : maxLr;
    if (most.length !== optimizer.groups.length) {
      throw new RangeError(`OneCycleLR has ${most.length} rates for ${optimizer.groups.length} groups.`);
    }
    const line = (from: number, to: number, share: number) => from + (to - from) * share;
    const between = annealStrategy === 'cos' ? cosine : line;
    const ends = [pctStart * total - 1, ...(threePhase ? [2 * pctStart * total - 2] : []), total - 1];
    /** The value at step t on the way by `stops`, one more than there are phases. */
    const at = (t: number, stops: readonly number[]) => {
      if (t >= total) {
        throw new RangeError(`OneCycleLR was made for ${total} steps, and this is one more.`);
      }
      const found = ends.findIndex((end) => t <= end);
      const phase = found < 0 ? ends.length - 1 : found;
      const start = phase === 0 ? 0 : ends[phase - 1]!;
      return between(stops[phase]!, stops[phase + 1]!, (t - start) / (ends[phase]! - start));
    };
    const rate = (t: number, _: number, group: number) => {
      const first = most[group]! / divFactor;
      return at(t, [first, most[group]!, ...(threePhase ? [first] : []), first / finalDivFactor]);
    };
    const momenta = [maxMomentum, baseMomentum, maxMomentum, ...(threePhase ? [maxMomentum] : [])];
    super(optimizer, rate, cycleMomentum ? (t) => at(t, momenta) : undefined);
  }
}

/** @throws Error unless the schedules are of one optimizer */
function checkShared(name: string, schedulers: readonly LRScheduler[], optimizer: Optimizer): void {
  if (schedulers.length > 0 && schedulers.every((scheduler) => scheduler.optimizer === optimizer)) return;
  throw new Error(`${name} needs schedules, all of the same optimizer.`);
}

/** One schedule after the other: `milestones` are the steps at which the next one begins, each from its step 0. */
export class SequentialLR extends LRScheduler {
  /** @throws Error unless there is one milestone less than schedules, and all are of this optimizer */
  constructor(optimizer: Optimizer, schedulers: readonly LRScheduler[], milestones: readonly number[]) {
    checkShared('SequentialLR', schedulers, optimizer);
    if (milestones.length !== schedulers.length - 1) {
      throw new Error(
        `SequentialLR needs a milestone between each two schedules, ${schedulers.length - 1}, not ${milestones.length}.`,
      );
    }
    const at = (t: number): [scheduler: LRScheduler, t: number] => {
      const passed = milestones.filter((milestone) => milestone <= t).length;
      return [schedulers[passed]!, passed === 0 ? t : t - milestones[passed - 1]!];
    };
    const rate = (t: number, base: number, group: number) => {
      const [scheduler, own] = at(t);
      return scheduler.rateAt(own, base, group);
    };
    const momentum = (t: number) => {
      const [scheduler, own] = at(t);
      return scheduler.momentumAt(own);
    };
    super(optimizer, rate, momentum);
  }
}

/** Several schedules at once: each works on what the one before it gives. */
export class ChainedScheduler extends LRScheduler {
  /** @throws Error unless all are of the same optimizer */
  constructor(schedulers: readonly LRScheduler[]) {
    const optimizer = schedulers[0]?.optimizer as Optimizer;
    checkShared('ChainedScheduler', schedulers, optimizer);
    const rate = (t: number, base: number, group: number) =>
      schedulers.reduce((value, scheduler) => scheduler.rateAt(t, value, group), base);
    const momentum = (t: number) =>
      schedulers.map((scheduler) => scheduler.momentumAt(t)).findLast((value) => value !== undefined);
    super(optimizer, rate, momentum);
  }
}
