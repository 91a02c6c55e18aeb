// Curves reduced to what a canvas can show: the lowest and the highest value of every column of pixels.

/** A curve to reduce; `x` rises. */
export interface XY {
  readonly x: ArrayLike<number>;
  readonly y: ArrayLike<number>;
}

/** What uPlot takes: undefined where nothing was logged, which lines pass over, null where a value is not finite, a gap. */
export type Reduced = (number | null | undefined)[];

/** Positions shared by all curves of a chart: both ends, and two in each column. */
export function columnPositions(low: number, high: number, columns: number): number[] {
  const width = (high - low) / columns;
  const inner = Array.from({ length: 2 * columns }, (_, i) => low + (i / 2 + 0.25) * width);
  return [low, ...inner, high];
}

/**
 * The curve at {@link columnPositions}: in every column its lowest and highest value in the order in which they come, and at
 * the ends the values of the lines that lead out of the picture.
 */
export function reduce({ x, y }: XY, low: number, high: number, columns: number): Reduced {
  const reduced: Reduced = new Array(2 * columns + 2).fill(undefined);
  const first = firstAtLeast(x, low);
  const end = firstAtLeast(x, high, true);
  const scale = columns / (high - low);
  for (let i = first; i < end; ) {
    const column = Math.min(columns - 1, Math.floor((x[i]! - low) * scale));
    let lowest = -1;
    let highest = -1;
    let next = i;
    for (; next < end && Math.min(columns - 1, Math.floor((x[next]! - low) * scale)) === column; next++) {
      const value = y[next]!;
      if (!Number.isFinite(value)) continue;
      if (lowest < 0 || value < y[lowest]!) lowest = next;
      if (highest < 0 || value > y[highest]!) highest = next;
    }
    const slot = 1 + 2 * column;
    if (lowest < 0) reduced[slot] = null;
    else {
      reduced[slot] = y[Math.min(lowest, highest)]!;
      if (lowest !== highest) reduced[slot + 1] = y[Math.max(lowest, highest)]!;
    }
    i = next;
  }
  reduced[0] = between({ x, y }, first, low);
  reduced[reduced.length - 1] = between({ x, y }, end, high);
  return reduced;
}

/** The value at a position on the line from the point before `next` to `next`. */
function between({ x, y }: XY, next: number, position: number): number | undefined {
  if (next === 0 || next >= x.length) return undefined;
  const share = (position - x[next - 1]!) / (x[next]! - x[next - 1]!);
  const value = y[next - 1]! + share * (y[next]! - y[next - 1]!);
  return Number.isFinite(value) ? value : undefined;
}

/** The first index whose x is at least a bound, or above it; the length if there is none. */
export function firstAtLeast(x: ArrayLike<number>, bound: number, above = false): number {
  let [from, to] = [0, x.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (above ? x[middle]! <= bound : x[middle]! < bound) from = middle + 1;
    else to = middle;
  }
  return from;
}
