// How weights are stored in an exported file; without libtorch, as help texts name them.

export const WEIGHT_FORMATS = ['float32', 'float16', 'int8'] as const;
export type WeightFormat = (typeof WEIGHT_FORMATS)[number];
