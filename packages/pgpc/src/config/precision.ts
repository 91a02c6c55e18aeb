// What the products of networks can be computed in.

export const precisions = ['float32', 'bfloat16'] as const;
export type Precision = (typeof precisions)[number];
