// Optimizers, gradient clipping and learning-rate schedules.

export * from './adamw.js';
export * from './clip-grad.js';
export {
  Optimizer,
  type OptimizerGroup,
  type OptimizerState,
  type ParameterGroup,
} from './optimizer.js';
export * from './schedules.js';
export * from './sgd.js';
