// The names that the command line offers, apart from what they stand for: `--help` must not wait for libtorch.

import type { DenoiseName } from '../adaptation/denoise/denoise.js';
import type { StyleName } from '../adaptation/style/style.js';
import type { UnlabelledScoreName } from '../evaluation/unlabelled.js';
import type { WeightingName } from '../experiments/loss-weights.js';
import type { MethodName } from './method.js';

export type { MethodName };

export const methodNames = [
  'source-only',
  'self-training',
  'daformer',
  'pgpc',
] as const satisfies readonly MethodName[];

export const styleNames = ['none', 'fda', 'dcan'] as const satisfies readonly (StyleName | 'none')[];

/** Where the weights of the losses come from. */
export const lossWeightNames = ['fixed', 'gradient-norm', 'uncertainty'] as const satisfies readonly (
  | WeightingName
  | 'fixed'
)[];

export const denoiseNames = ['none', 'prototypes', 'agreement'] as const satisfies readonly (
  | DenoiseName
  | 'none'
)[];

/** Scores without labels, by which a checkpoint can be chosen. */
export const scoreNames = [
  'information',
  'density',
  'entropy',
  'agreement',
  'margin',
] as const satisfies readonly UnlabelledScoreName[];

/** Sizes of the recipe on rendered streets. */
export const scaleNames = ['demo', 'quick', 'large'] as const;
export type ScaleName = (typeof scaleNames)[number];

export const drivingPresetNames = ['gta5-cityscapes', 'synthia-cityscapes'] as const;
export type DrivingPresetName = (typeof drivingPresetNames)[number];

/** The networks of the tables; `deeplabv2` is that of the UDA papers, with the dilations 6 and 12. */
export const networkNames = [
  'mit-b0',
  'mit-b1',
  'mit-b2',
  'mit-b3',
  'mit-b4',
  'mit-b5',
  'segformer-b5',
  'deeplabv2',
  'deeplabv3plus',
  'hrnet-w48',
] as const;
export type NetworkName = (typeof networkNames)[number];
