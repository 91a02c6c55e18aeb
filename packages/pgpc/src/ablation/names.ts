// The names of the sweeps, apart from what they run: `--help` must not wait for libtorch.

export const sweepNames = [
  'methods',
  'evidence',
  'contrast',
  'contrast-type',
  'anchor-selection',
  'rank',
  'bank-size',
  'warm-up',
  'lambda',
  'anchor-view',
  'negatives',
  'prototypes',
  'masked',
  'denoise',
  'loss-weights',
] as const;

export type SweepName = (typeof sweepNames)[number];
