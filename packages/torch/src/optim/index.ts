// Optimizers, gradient clipping and learning-rate schedules.

export * from './adam.js';
export * from './adamw.js';
export * from './adaptive.js';
export * from './clip-grad.js';
export type { MomentOptions } from './moments.js';
export {
  Optimizer,
  type OptimizerGroup,
  type OptimizerState,
  type ParameterGroup,
} from './optimizer.js';
export * from './plateau.js';
export type { PytorchState } from './pytorch-state.js';
export * from './schedulers.js';
export * from './schedules.js';
export * from './sgd.js';
