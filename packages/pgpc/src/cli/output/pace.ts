// What a training's steps and scores take, for the time that is left.

import type { TrainingEvent } from '../../training/events.js';

/** Steps after which a step's time is known well enough. */
const STEPS_TO_JUDGE = 20;

/** A scored image takes this share of a step until one has been scored: one pass or two of a step's seven and more. */
const IMAGE_SHARE = 0.2;

export class Pace {
  readonly iterations: number;
  readonly #begin: Extract<TrainingEvent, { kind: 'begin' }>;
  readonly #began: number;
  /** Milliseconds of checkpoints, and when the last step ended. */
  #beside = 0;
  #stepped: number;
  /** Seconds of the last checkpoint that was scored. */
  #scoring: number | undefined;

  /** @param now milliseconds, of any origin. */
  constructor(
    begin: Extract<TrainingEvent, { kind: 'begin' }>,
    readonly now: () => number = () => performance.now(),
  ) {
    this.#begin = begin;
    this.iterations = begin.iterations;
    this.#began = now();
    this.#stepped = this.#began;
  }

  /** A step is done. @returns seconds of a step, once, when enough are done to tell. */
  step(done: number): number | undefined {
    this.#stepped = this.now();
    const steps = done - this.#begin.iteration;
    if (steps !== STEPS_TO_JUDGE) return undefined;
    return (this.#stepped - this.#began - this.#beside) / 1000 / steps;
  }

  /** What began with the last step's end is done. */
  checkpoint(scored: boolean): void {
    const taken = this.now() - this.#stepped;
    this.#beside += taken;
    if (scored) this.#scoring = taken / 1000;
  }

  /** Seconds of the checkpoints and the evaluation that are to come. */
  ahead(done: number, stepSeconds: number): number {
    const { iterations, forecast } = this.#begin;
    const { every, scored, evaluated } = forecast;
    const scoring = this.#scoring ?? scored * IMAGE_SHARE * stepSeconds;
    const checkpoints = Math.ceil(iterations / every) - Math.floor(done / every);
    return checkpoints * scoring + evaluated * (scoring / Math.max(1, scored));
  }
}
