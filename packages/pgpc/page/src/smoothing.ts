// The report's smoothing on plain lists of numbers, for tens of thousands of them at a time.

/** As `smooth` of report/series.ts. @param span roughly how many values are averaged, at least 1. */
export function smoothed(y: ArrayLike<number>, span: number): Float64Array {
  const decay = 1 - 1 / Math.max(1, span);
  const result = new Float64Array(y.length);
  let mean = 0;
  let weight = 0;
  for (let i = 0; i < y.length; i++) {
    const value = y[i]!;
    if (Number.isFinite(value)) {
      mean = decay * mean + (1 - decay) * value;
      weight = decay * weight + (1 - decay);
      result[i] = mean / weight;
    } else result[i] = value;
  }
  return result;
}

/** As `isNoisy` of report/series.ts. */
export function isNoisy(y: ArrayLike<number>): boolean {
  let [moving, turns, before] = [0, 0, 0];
  for (let i = 1; i < y.length; i++) {
    const step = y[i]! - y[i - 1]!;
    if (step === 0 || !Number.isFinite(step)) continue;
    moving++;
    if (step * before < 0) turns++;
    before = step;
  }
  return turns > 0.1 * moving;
}
