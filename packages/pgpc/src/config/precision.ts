// What the products of networks can be computed in.

export const precisions = ['float32', 'bfloat16'] as const;
export type Precision = (typeof precisions)[number];

/** The precision of an experiment: as asked for, or else what the device is fast in. */
export function chosenPrecision(precision: Precision | undefined, device: string): { precision?: Precision } {
  const chosen = precision ?? (device === 'cpu' ? 'float32' : 'bfloat16');
  // An experiment in float32 is the same with and without the option.
  return chosen === 'float32' ? {} : { precision: chosen };
}
