// Generated from native/protocol.json by scripts/generate-protocol.mjs: do not edit.

import type { BuildInfo, SchemaOverload } from '../native-types.js';

// Tags of the values in the command buffer.
export const NONE = 0;
export const TENSOR = 1;
export const INT = 2;
export const DOUBLE = 3;
export const BOOL = 4;
export const STRING = 5;
export const INT_LIST = 6;
export const DOUBLE_LIST = 7;
export const BOOL_LIST = 8;
export const TENSOR_LIST = 9;
export const OPTIONAL_TENSOR_LIST = 10;
export const SCALAR_LIST = 11;
export const DEVICE = 12;
export const GENERATOR = 13;
export const DEFAULT = 14;

// What a call leaves in command[0].
export const DONE = 0;
export const FAILED = 1;
export const WAITING = 2;

/** Element types that have a form in JavaScript, by c10::ScalarType's values. */
export const dtypeCodes = {
  uint8: 0,
  int8: 1,
  int16: 2,
  int32: 3,
  int64: 4,
  float16: 5,
  float32: 6,
  float64: 7,
  bool: 11,
  bfloat16: 15,
} as const;

/** Types whose elements have no form in JavaScript; operators may still take and give such tensors. */
export const foreignDtypeCodes = {
  complex32: 8,
  complex64: 9,
  complex128: 10,
  qint8: 12,
  quint8: 13,
  qint32: 14,
  quint4x2: 16,
  quint2x4: 17,
} as const;

// In the order of their values in libtorch.
export const memoryFormats = ['contiguous', 'preserve', 'channelsLast', 'channelsLast3d'] as const;
export const layouts = ['strided'] as const;

/** What the addon exports; a handle of 0 is no tensor. */
export interface Native {
  // native/call.cpp
  /** Runs the operator that the command buffer names. */
  call(): void;
  /** Writes the results of the last call that had no room for them. */
  takeResults(): void;
  /** As `call`, for arguments that are strings. */
  callWithStrings(strings: string[]): void;
  /** The buffer to use from now on. */
  setCommandBuffer(buffer: Float64Array): void;
  lastError(): string;
  // native/schemas.cpp
  /** Every operator of the namespaces aten and pgpc, one entry a base name. */
  operatorNames(): [name: string, jsName: string, isMethod: boolean][];
  /** The overloads of 'aten::add', in the order in which they are tried. */
  lookup(name: string): SchemaOverload[];
  // native/memory.cpp
  /** Disposes the handles command[1] .. command[command[0]], as a tidy scope leaves them. */
  disposeMany(): void;
  /** The dtype's code and the shape. */
  describe(handle: number): number[];
  deviceOf(handle: number): string;
  dispose(handle: number): void;
  /** Tells V8 how much memory hangs on a tensor that only its garbage collector will free. */
  reportMemory(handle: number): void;
  /** The live tensors and the bytes of their distinct storages. */
  memory(): [tensors: number, bytes: number];
  /** A tensor over the array's memory, which lives as long as the tensor does. */
  fromTypedArray(array: ArrayBufferView, dtype: number, shape: readonly number[]): number;
  /** The memory of a contiguous CPU tensor itself, kept alive. */
  arrayBuffer(handle: number): ArrayBuffer;
  /** Copies the elements, in C order, into an array of the same byte length. */
  copyTo(handle: number, array: ArrayBufferView): void;
  /** Whether elements lie in memory by strides, as in sparse, packed and quantized layouts they do not. */
  isStrided(handle: number): boolean;
  /** Whether elements along a dimension are one place in memory. */
  isExpanded(handle: number): boolean;
  // native/autograd.cpp
  requiresGrad(handle: number): boolean;
  setRequiresGrad(handle: number, on: boolean): void;
  getGrad(handle: number): number;
  setGrad(handle: number, grad: number): void;
  /** A gradient of 0 is none. */
  backward(outputs: number[], gradients: number[], retainGraph: boolean, createGraph: boolean): void;
  /** A handle for each input, 0 where it is not used. */
  grad(outputs: number[], inputs: number[], gradients: number[], retainGraph: boolean, createGraph: boolean, allowUnused: boolean): number[];
  /** Gives the mode before. */
  setGradMode(enabled: boolean): boolean;
  enterInferenceMode(): void;
  leaveInferenceMode(): void;
  // native/random.cpp
  newGenerator(seed: number): number;
  disposeGenerator(generator: number): void;
  /** A generator of -1 is the process's own. */
  seedGenerator(generator: number, seed: number): void;
  generatorState(generator: number): number;
  setGeneratorState(generator: number, state: number): void;
  // native/autocast.cpp
  /** Takes the dtype's code, or -1 for off, and gives what it was before. */
  setAutocast(dtype: number): number;
  autocastState(): number;
  // native/process.cpp
  setNumThreads(threads: number): void;
  buildInfo(): Omit<BuildInfo, 'core'>;
  // native/disk.cpp
  /** Has the system begin to write what a file got so far to the disk, and does not wait. */
  startWriteback(fd: number): void;
  // native/cuda.cpp
  /** Whether the functions after `cudaMath` are there. */
  cudaFeatures(): boolean;
  /** Whether float32 products use tensor cores, and whether cuDNN tries its algorithms first. */
  cudaMath(tf32: boolean, benchmark: boolean): void;
  // native/cuda.cpp
  /** The GPU that is meant where none is named. Only where `cudaFeatures()` says so. */
  cudaUseDevice(index: number): void;
  /** Waits for all work of the GPU. Only where `cudaFeatures()` says so. */
  cudaSynchronize(): void;
  /** In bytes. Only where `cudaFeatures()` says so. */
  cudaMemory(): [allocated: number, peak: number, reserved: number, peakReserved: number, free: number, total: number];
  /** Only where `cudaFeatures()` says so. */
  cudaName(): string;
  /** Only where `cudaFeatures()` says so. */
  cudaResetPeak(): void;
  /** Only where `cudaFeatures()` says so. */
  cudaEmptyCache(): void;
  /** Whether an operator that makes the host wait for the GPU throws. Only where `cudaFeatures()` says so. */
  cudaForbidWaiting(on: boolean): void;
  /** Records what follows instead of running it, in the memory of another graph or, for 0, in its own. Only where `cudaFeatures()` says so. */
  graphBegin(poolOf: number): number;
  /** Only where `cudaFeatures()` says so. */
  graphEnd(graph: number): void;
  /** Only where `cudaFeatures()` says so. */
  graphAbandon(graph: number): void;
  /** Only where `cudaFeatures()` says so. */
  graphReplay(graph: number): void;
  /** Only where `cudaFeatures()` says so. */
  graphFree(graph: number): void;
  // native/profiler.cpp
  profilerStart(shapes: boolean): void;
  /** An event is `fields` numbers: native/profiler.cpp says which. */
  profilerStop(): { names: string[]; shapes: string[]; fields: number; events: Float64Array };
  profilerPush(name: string): void;
  profilerPop(): void;
  // native/distributed.cpp
  /** 'gloo', 'nccl': what this build has. */
  distributedBackends(): string[];
  distributedJoin(backend: string, rank: number, size: number, milliseconds: number, host: string, port: number, hostsStore: boolean, prefix: string, file: string): void;
  distributedLeave(): void;
}
