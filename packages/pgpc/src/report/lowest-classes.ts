// The classes of an image with the lowest IoU.

/** The classes that have an IoU, the lowest first. @param iou fractions in the order of the classes, NaN for one without. */
export function lowestClasses<T>(
  iou: readonly number[],
  classes: readonly T[],
  most: number,
): (T & { readonly value: number })[] {
  return classes
    .map((shown, i) => ({ ...shown, value: iou[i]! }))
    .filter(({ value }) => !Number.isNaN(value))
    .sort((a, b) => a.value - b.value)
    .slice(0, most);
}
