// When a training writes a checkpoint: by steps, and by time where steps are slow.

/** Steps between two checkpoints that are scored, where nothing else is chosen. */
export const STEPS_BETWEEN = 500;

/** The most that a crash may cost. */
const MINUTES_BETWEEN = 10;

export class CheckpointClock {
  #last: number;

  /**
   * @param every steps between two checkpoints that are scored: which one is best must not depend on speed.
   * @param minutes that a crash may cost at most.
   * @param now milliseconds, of any origin.
   */
  constructor(
    readonly every = STEPS_BETWEEN,
    readonly minutes = MINUTES_BETWEEN,
    readonly now: () => number = () => performance.now(),
  ) {
    this.#last = now();
  }

  /** @returns why a checkpoint is due after so many steps; undefined: none is. */
  due(done: number, iterations: number): 'steps' | 'time' | undefined {
    if (done % this.every === 0 || done === iterations) return 'steps';
    return this.now() - this.#last >= this.minutes * 60_000 ? 'time' : undefined;
  }

  /** A checkpoint has been written. */
  saved(): void {
    this.#last = this.now();
  }
}
