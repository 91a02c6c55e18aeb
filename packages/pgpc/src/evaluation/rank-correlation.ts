// Rank correlation: whether one score orders models as another does.

/** Ranks from 1; equal values share the mean of their ranks. */
function ranks(values: readonly number[]): number[] {
  return values.map((value) => {
    const below = values.filter((other) => other < value).length;
    const equal = values.filter((other) => other === value).length;
    return below + (equal + 1) / 2;
  });
}

/**
 * Spearman's rho, -1 .. 1: Pearson's correlation of the ranks, with mean ranks for ties. NaN where either list holds a
 * NaN or is constant.
 * @throws RangeError for lists of different lengths or of fewer than two values.
 */
export function spearman(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length || a.length < 2) {
    throw new RangeError(
      `rank correlation needs two lists of the same length, from 2 on, not of ${a.length} and ${b.length}`,
    );
  }
  if ([...a, ...b].some(Number.isNaN)) return Number.NaN;
  const middle = (a.length + 1) / 2;
  const [left, right] = [a, b].map((values) => ranks(values).map((rank) => rank - middle)) as [
    number[],
    number[],
  ];
  const product = (x: number[], y: number[]) => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
  return product(left, right) / Math.sqrt(product(left, left) * product(right, right));
}
