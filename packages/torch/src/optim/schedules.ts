// Learning rates as functions of the iteration.

export interface PolyScheduleOptions {
  baseLr: number;
  /** Length of the run in iterations; from there on the rate is `minLr`. */
  maxIters: number;
  power?: number;
  minLr?: number;
  /** Iterations of linear warm-up; 0 for none. */
  warmupIters?: number;
  /** Share of the rate at iteration 0. */
  warmupRatio?: number;
}

/**
 * Polynomial decay with linear warm-up, as DAFormer trains (its `poly10warm`):
 * r(t) = (base - min) (1 - t / maxIters)^power + min, during warm-up times 1 - (1 - t / warmupIters)(1 - warmupRatio).
 * @returns the rate at iteration t, which counts from 0
 * @throws RangeError for impossible settings
 */
export function polySchedule(options: PolyScheduleOptions): (t: number) => number {
  const { baseLr, maxIters, power = 1, minLr = 0, warmupIters = 1500, warmupRatio = 1e-6 } = options;
  if (!(maxIters > 0)) throw new RangeError(`polySchedule's maxIters must be above 0, but is ${maxIters}.`);
  if (!(warmupIters >= 0))
    throw new RangeError(`polySchedule's warmupIters must not be negative: ${warmupIters}.`);
  return (t) => {
    const rate = (baseLr - minLr) * (1 - Math.min(t / maxIters, 1)) ** power + minLr;
    return t < warmupIters ? rate * (1 - (1 - t / warmupIters) * (1 - warmupRatio)) : rate;
  };
}
