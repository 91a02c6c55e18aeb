// Sizes of windows: one number for all axes, or one for each.

/** One size for all `N` axes, or one for each. */
export type Sizes<N extends 1 | 2 | 3> = number | Tuple[N];

interface Tuple {
  1: readonly [number];
  2: readonly [number, number];
  3: readonly [number, number, number];
}

/** A size for each of `axes` axes. @throws RangeError for a list of another length, or what is no whole number from `least` */
export function sizesOf(
  name: string,
  value: number | readonly number[],
  axes: number,
  least: number,
): number[] {
  const sizes = typeof value === 'number' ? Array.from({ length: axes }, () => value) : [...value];
  if (sizes.length !== axes || !sizes.every((size) => Number.isSafeInteger(size) && size >= least)) {
    throw new RangeError(
      `${name} must be a whole number from ${least}, or ${axes} of them, one an axis, but is ${written(value)}.`,
    );
  }
  return sizes;
}

/** As `String(net)` writes a value: lists in brackets. */
export function written(value: unknown): string {
  return Array.isArray(value) ? `[${value.map(written).join(', ')}]` : String(value);
}

/** `a=1, b=[2, 2]`, for `extraRepr`. */
export function named(values: Readonly<Record<string, unknown>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${written(value)}`)
    .join(', ');
}
