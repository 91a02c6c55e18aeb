// Learning rates that fall when a metric no longer improves.

import type { Optimizer } from './optimizer.js';

export interface PlateauOptions {
  /** Whether a smaller or a larger metric is better. */
  mode?: 'min' | 'max';
  /** What the rates are multiplied by. */
  factor?: number;
  /** Steps without an improvement that are let pass; the next one lowers the rates. */
  patience?: number;
  /** By how much a metric has to be better to count. */
  threshold?: number;
  /** Whether the threshold is a share of the best metric, or a difference. */
  thresholdMode?: 'rel' | 'abs';
  /** Steps after a change in which nothing is counted. */
  cooldown?: number;
  /** Lower bounds, of all groups or of each. */
  minLr?: number | readonly number[];
  /** Changes up to this are not made. */
  eps?: number;
}

/** All that the schedule needs to resume, besides the optimizer's rates: plain values for JSON. */
export interface PlateauState {
  /** null before the first metric */
  best: number | null;
  numBadEpochs: number;
  cooldownCounter: number;
}

/** Multiplies the rates by `factor` when the metric has not improved for more than `patience` steps. */
export class ReduceLROnPlateau {
  readonly optimizer: Optimizer;
  readonly #options: Required<PlateauOptions>;
  #state: PlateauState = { best: null, numBadEpochs: 0, cooldownCounter: 0 };

  /** @throws RangeError for a factor that is not below 1, or another number of bounds than groups */
  constructor(optimizer: Optimizer, options: PlateauOptions = {}) {
    this.optimizer = optimizer;
    this.#options = {
      mode: 'min',
      factor: 0.1,
      patience: 10,
      threshold: 1e-4,
      thresholdMode: 'rel',
      cooldown: 0,
      minLr: 0,
      eps: 1e-8,
      ...options,
    };
    const { factor, minLr } = this.#options;
    if (!(factor < 1)) throw new RangeError(`ReduceLROnPlateau's factor must be below 1, but is ${factor}.`);
    if (typeof minLr !== 'number' && minLr.length !== optimizer.groups.length) {
      throw new RangeError(
        `ReduceLROnPlateau has ${minLr.length} bounds for ${optimizer.groups.length} groups.`,
      );
    }
  }

  /** The rates of all groups now. */
  getLastLr(): number[] {
    return this.optimizer.groups.map(({ lr }) => lr);
  }

  /** Counts a metric, and lowers the rates if it is time. @throws RangeError for a metric that is no number */
  step(metric: number): void {
    if (Number.isNaN(metric)) throw new RangeError('ReduceLROnPlateau was given a metric of NaN.');
    const state = this.#state;
    if (this.#isBetter(metric)) {
      state.best = metric;
      state.numBadEpochs = 0;
    } else {
      state.numBadEpochs += 1;
    }
    if (state.cooldownCounter > 0) {
      state.cooldownCounter -= 1;
      state.numBadEpochs = 0;
    }
    if (state.numBadEpochs > this.#options.patience) {
      this.#lower();
      state.cooldownCounter = this.#options.cooldown;
      state.numBadEpochs = 0;
    }
  }

  #isBetter(metric: number): boolean {
    const { best } = this.#state;
    if (best === null) return true;
    const { mode, threshold, thresholdMode } = this.#options;
    const sign = mode === 'min' ? -1 : 1;
    const bound = thresholdMode === 'rel' ? best * (1 + sign * threshold) : best + sign * threshold;
    return mode === 'min' ? metric < bound : metric > bound;
  }

  #lower(): void {
    const { factor, minLr, eps } = this.#options;
    for (const [group, { lr }] of this.optimizer.groups.entries()) {
      const lowered = Math.max(lr * factor, typeof minLr === 'number' ? minLr : minLr[group]!);
      if (lr - lowered > eps) this.optimizer.setLr(group, lowered);
    }
  }

  stateDict(): PlateauState {
    return { ...this.#state };
  }

  loadStateDict(state: PlateauState): void {
    this.#state = { ...state };
  }
}
