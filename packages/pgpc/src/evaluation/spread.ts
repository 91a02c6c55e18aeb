// Which few of many images are shown or scored: always the same ones of the same data.

/** `n` positions of `length`, evenly spread and in order; all of them, where there are no more. */
export function spread(length: number, n: number): number[] {
  const count = Math.min(n, length);
  return Array.from({ length: count }, (_, i) => Math.floor(((i + 0.5) * length) / count));
}
