// Layers, losses and what modules share.

export * from './activation.js';
export * from './attention.js';
export { CastWeights, narrowWeights_ } from './cast-weights.js';
export { ActivationCheckpoints, drawnOnce, isRecomputing } from './checkpoint.js';
export * from './containers.js';
export { Conv1d, Conv2d, Conv3d, type ConvOptions, type PaddingMode } from './conv.js';
export * from './conv-transpose.js';
export {
  Dropout,
  Dropout1d,
  Dropout2d,
  Dropout3d,
  DropPath,
  RandomDrop,
} from './dropout.js';
export * from './ema.js';
export * from './embedding.js';
export * from './group-norm.js';
export {
  constant_,
  type GeneratorOption,
  type KaimingOptions,
  kaimingNormal_,
  kaimingUniform_,
  normal_,
  orthogonal_,
  type TruncNormalOptions,
  truncNormal_,
  uniform_,
  type XavierOptions,
  xavierNormal_,
  xavierUniform_,
} from './init.js';
export * from './linear.js';
export * from './loss-modules.js';
export * from './losses.js';
export { type AnyModule, Module } from './module.js';
export { BatchNorm1d, BatchNorm2d, BatchNorm3d, LayerNorm } from './norm.js';
export * from './padding.js';
export * from './pooling.js';
export * from './recurrent.js';
export * from './recurrent-cells.js';
export * from './shaping.js';
export type { Sizes } from './sizes.js';
export { type LoadReport, StateModule } from './state-module.js';
export * from './transformer.js';
