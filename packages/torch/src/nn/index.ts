// Layers, losses and what modules share.

export * from './activation.js';
export { CastWeights, narrowWeights_ } from './cast-weights.js';
export { ActivationCheckpoints, drawnOnce, isRecomputing } from './checkpoint.js';
export * from './containers.js';
export * from './dropout.js';
export * from './ema.js';
export * from './functional.js';
export {
  constant_,
  type GeneratorOption,
  type KaimingOptions,
  kaimingNormal_,
  kaimingUniform_,
  normal_,
  type TruncNormalOptions,
  truncNormal_,
  uniform_,
} from './init.js';
export * from './linear.js';
export { type AnyModule, Module } from './module.js';
export * from './norm.js';
export * from './pooling.js';
export { type LoadReport, StateModule } from './state-module.js';
