/** Libtorch for TypeScript. @module @pgpc/torch */

export { type AutocastDtype, autocast, autocastDtype } from './autocast.js';
export { enableGrad, type GradOptions, grad, inferenceMode, noGrad } from './autograd.js';
export * from './batches/index.js';
export {
  Ahead,
  CudaGraph,
  copyAhead,
  cudaAvailable,
  type DeviceMemory,
  deviceMath,
  deviceMemory,
  emptyCache,
  resetPeakMemory,
  setDevice,
  synchronize,
  withoutWaiting,
} from './cuda.js';
export * from './distributed/index.js';
export { type DType, itemSize, type TypedArray } from './dtype.js';
export { TorchError } from './errors.js';
export {
  arange,
  fromTypedArray,
  full,
  type NestedNumbers,
  ones,
  type RandomOptions,
  rand,
  randint,
  randn,
  type TensorOptions,
  tensor,
  zeros,
} from './factories.js';
export { Generator, globalRngState, manualSeed, setGlobalRngState } from './generator.js';
export * as nn from './nn/index.js';
export { ops } from './ops.js';
export * as optim from './optim/index.js';
export {
  Profile,
  type ProfileEvent,
  type ProfileOptions,
  type ProfileRow,
  profile,
} from './profiler.js';
export { type BuildInfo, buildInfo, setNumThreads } from './runtime.js';
export * from './serialize/index.js';
export { dims, sizeOf } from './shape.js';
export { keep, liveTensors, memory, Tensor, tidy } from './tensor.js';
export { type TracedCall, traceOperators } from './trace.js';
