// Numbers behind the charts: smoothing, thinning, axis ticks and scales.

/** A value at an iteration. `y` may be NaN. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/**
 * Exponential moving average with the bias of its start removed (Adam's correction, Kingma & Ba, ICLR 2015, sec. 3),
 * so that the first value is itself. Values that are not finite are passed over and stay as they are.
 *
 * @param span - roughly how many values are averaged, at least 1
 */
export function smooth(points: readonly Point[], span: number): Point[] {
  const decay = 1 - 1 / Math.max(1, span);
  let mean = 0;
  let weight = 0;
  return points.map(({ x, y }) => {
    if (!Number.isFinite(y)) return { x, y };
    mean = decay * mean + (1 - decay) * y;
    weight = decay * weight + (1 - decay);
    return { x, y: mean / weight };
  });
}

/** Whether the values go up and down (more than every tenth step turns round) rather than along a curve. */
export function isNoisy(points: readonly Point[]): boolean {
  const steps: number[] = [];
  for (let i = 1; i < points.length; i++) steps.push(points[i]!.y - points[i - 1]!.y);
  const moving = steps.filter((step) => step !== 0 && Number.isFinite(step));
  const turns = moving.filter((step, index) => index > 0 && step * moving[index - 1]! < 0).length;
  return turns > 0.1 * moving.length;
}

/**
 * At most `2 * buckets` points with the same look: of every stretch the lowest and the highest point, in order, and a
 * gap where the stretch has nothing finite.
 */
export function thin(points: readonly Point[], buckets: number): Point[] {
  if (points.length <= 2 * buckets) return [...points];
  const kept: Point[] = [];
  for (let bucket = 0; bucket < buckets; bucket++) {
    const from = Math.floor((bucket * points.length) / buckets);
    const to = Math.floor(((bucket + 1) * points.length) / buckets);
    const stretch = points.slice(from, to);
    const finite = stretch.filter(({ y }) => Number.isFinite(y));
    if (finite.length === 0) {
      kept.push(stretch[0]!);
      continue;
    }
    const low = finite.reduce((a, b) => (b.y < a.y ? b : a));
    const high = finite.reduce((a, b) => (b.y > a.y ? b : a));
    if (low === high) kept.push(low);
    else kept.push(...(low.x < high.x ? [low, high] : [high, low]));
  }
  return kept;
}

/** Round values from `low` to `high`, about `count` of them, at steps of 1, 2 or 5 times a power of ten. */
export function ticks(low: number, high: number, count: number): number[] {
  if (!(high > low)) return [low];
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999)!;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  // Rounding to the step's own digits keeps 0.30000000000000004 off the axis.
  return Array.from({ length: last - first + 1 }, (_, index) =>
    Number(((first + index) * step).toPrecision(12)),
  );
}

/** Ticks of a logarithmic axis: 1, 2, 5 times the powers of ten; powers alone, or some of them, over a wide range. */
export function logTicks(low: number, high: number): number[] {
  const decades = Math.log10(high / low);
  const factors = decades > 2.5 ? [1] : [1, 2, 5];
  const stride = Math.max(1, Math.ceil(decades / 7));
  const values: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    if (power % stride !== 0) continue;
    for (const factor of factors) {
      const value = Number((factor * 10 ** power).toPrecision(12));
      if (value >= low * 0.999 && value <= high * 1.001) values.push(value);
    }
  }
  return values;
}

/** A vertical axis: its range, whether it is logarithmic, its ticks, and where a value lies (0 bottom, 1 top). */
export interface Axis {
  readonly low: number;
  readonly high: number;
  readonly log: boolean;
  readonly ticks: readonly number[];
  at(value: number): number;
}

/**
 * The axis for values with outliers: it covers all of `main` (the smoothed curves) and the middle 96 %
 * of `raw`, and is logarithmic where `main` is positive and spans more than a factor of 30.
 */
export function fitAxis(main: readonly number[], raw: readonly number[]): Axis {
  const finite = main.filter(Number.isFinite);
  const sorted = raw.filter(Number.isFinite).sort((a, b) => a - b);
  if (finite.length === 0 || sorted.length === 0) return linearAxis(0, 1);
  const quantile = (share: number) => sorted[Math.round(share * (sorted.length - 1))]!;
  const lowest = finite.reduce((a, b) => Math.min(a, b));
  const low = Math.min(lowest, quantile(0.02));
  const high = Math.max(
    finite.reduce((a, b) => Math.max(a, b)),
    quantile(0.98),
  );
  if (sorted[0]! > 0 && high / lowest > 30) return logAxis(low, high);
  // A curve that is near zero anyway is better seen from zero.
  return linearAxis(low > 0 && low < 0.5 * high ? 0 : low, high);
}

/** A linear axis from `low` to `high`, widened to whole steps of its ticks, and to 2 % of the values at least. */
export function linearAxis(low: number, high: number): Axis {
  // Below that, labels of three digits would repeat.
  const least = 0.02 * Math.max(Math.abs(low), Math.abs(high)) || 1;
  const middle = (low + high) / 2;
  const [from, to] = high - low < least ? [middle - least / 2, middle + least / 2] : [low, high];
  const inner = ticks(from, to, 4);
  const step = inner.length > 1 ? inner[1]! - inner[0]! : to - from;
  const bottom = Math.floor(from / step + 1e-9) * step;
  const top = Math.ceil(to / step - 1e-9) * step;
  return {
    low: bottom,
    high: top,
    log: false,
    ticks: ticks(bottom, top, 5),
    at: (value) => (value - bottom) / (top - bottom),
  };
}

function logAxis(low: number, high: number): Axis {
  const from = Math.log(low);
  const range = Math.log(high) - from;
  return {
    low,
    high,
    log: true,
    ticks: logTicks(low, high),
    at: (value) => (Math.log(value) - from) / range,
  };
}

/** Mean and sample standard deviation; NaN values are left out, the deviation of fewer than two is NaN. */
export function meanAndSpread(values: readonly number[]): { mean: number; spread: number } {
  const finite = values.filter(Number.isFinite);
  const mean = finite.reduce((sum, value) => sum + value, 0) / finite.length;
  const squares = finite.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, spread: finite.length < 2 ? Number.NaN : Math.sqrt(squares / (finite.length - 1)) };
}

/** Quantiles 0.975 of Student's t distribution with 1 to 30 degrees of freedom. */
const T_975 = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131,
  2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/**
 * Half of the 95 % interval of a mean, by Student's t: the interval is mean ± that.
 * @param spread the sample standard deviation. @param count of the values; NaN below two.
 */
export function halfInterval(spread: number, count: number): number {
  if (count < 2) return Number.NaN;
  // Beyond 30 degrees of freedom the quantile is within 4 % of the normal distribution's.
  return ((T_975[count - 2] ?? 1.96) * spread) / Math.sqrt(count);
}
