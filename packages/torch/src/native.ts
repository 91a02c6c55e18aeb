// Loads the native bridge and owns the command buffer that calls travel through.

import { fileURLToPath } from 'node:url';
import { loadAddon, setupCommand } from '@pgpc/addon';

/** A schema's argument, as the dispatcher knows it; names are in camelCase. */
export interface SchemaArgument {
  name: string;
  /** The schema's type: 'Tensor', 'Tensor?', 'int[]', 'ScalarType?', ... */
  type: string;
  /** The N of `int[N]`: a single number stands for N equal ones. */
  size?: number;
  hasDefault: boolean;
  /** The default is an empty list, so that one may be given. */
  mayBeEmpty: boolean;
  keywordOnly: boolean;
  written: boolean;
}

export interface SchemaOverload {
  /** The operator's place in the native table. */
  index: number;
  overload: string;
  schema: string;
  arguments: SchemaArgument[];
  returns: string[];
  /** For in-place and `out` operators: which arguments the results are. */
  returnedArguments?: number[];
}

/** What the process runs on. */
export interface BuildInfo {
  libtorch: string;
  threads: number;
  /** Whether there is a card that operators can run on. */
  cuda: boolean;
  /** The card's name. */
  device?: string;
  mkldnn: boolean;
  mkl: boolean;
  /** The file that holds the matrix product in use. */
  blas: string;
}

interface Native {
  call(): void;
  callWithStrings(strings: string[]): void;
  /** Writes the results of the last call that had no room for them. */
  takeResults(): void;
  setCommandBuffer(buffer: Float64Array): void;
  operatorNames(): [name: string, jsName: string, isMethod: boolean][];
  lookup(name: string): SchemaOverload[];
  lastError(): string;
  describe(handle: number): number[];
  deviceOf(handle: number): string;
  dispose(handle: number): void;
  disposeMany(): void;
  reportMemory(handle: number): void;
  memory(): [tensors: number, bytes: number];
  fromTypedArray(array: ArrayBufferView, dtype: number, shape: readonly number[]): number;
  arrayBuffer(handle: number): ArrayBuffer;
  copyTo(handle: number, array: ArrayBufferView): void;
  requiresGrad(handle: number): boolean;
  setRequiresGrad(handle: number, on: boolean): void;
  getGrad(handle: number): number;
  setGrad(handle: number, grad: number): void;
  backward(outputs: number[], gradients: number[], retainGraph: boolean, createGraph: boolean): void;
  grad(
    outputs: number[],
    inputs: number[],
    gradients: number[],
    retainGraph: boolean,
    createGraph: boolean,
    allowUnused: boolean,
  ): number[];
  setGradMode(enabled: boolean): boolean;
  enterInferenceMode(): void;
  leaveInferenceMode(): void;
  newGenerator(seed: number): number;
  disposeGenerator(generator: number): void;
  seedGenerator(generator: number, seed: number): void;
  generatorState(generator: number): number;
  setGeneratorState(generator: number, state: number): void;
  /** @param dtype its code, or -1 for none. @returns what it was before. */
  setAutocast(dtype: number): number;
  autocastState(): number;
  setNumThreads(threads: number): void;
  cudaFeatures(): boolean;
  cudaMath(tf32: boolean, benchmark: boolean): void;
  /** What follows is there only if `cudaFeatures()` says so: see native/cuda.cpp. */
  cudaUseDevice(index: number): void;
  cudaSynchronize(): void;
  cudaMemory(): [number, number, number, number, number, number];
  cudaName(): string;
  cudaResetPeak(): void;
  cudaEmptyCache(): void;
  cudaForbidWaiting(on: boolean): void;
  graphBegin(poolOf: number): number;
  graphEnd(graph: number): void;
  graphAbandon(graph: number): void;
  graphReplay(graph: number): void;
  graphFree(graph: number): void;
  buildInfo(): BuildInfo;
  profilerStart(shapes: boolean): void;
  /** Events are `fields` numbers each: native/profiler.cpp says which. */
  profilerStop(): { names: string[]; shapes: string[]; fields: number; events: Float64Array };
  distributedBackends(): string[];
  distributedJoin(
    backend: string,
    host: string,
    port: number,
    rank: number,
    size: number,
    milliseconds: number,
    hostsStore: boolean,
    prefix: string,
  ): void;
  distributedLeave(): void;
  profilerPush(name: string): void;
  profilerPop(): void;
}

const folder = fileURLToPath(new URL('..', import.meta.url));

/** The command that builds the bridge, as this package is installed. */
export const setup = setupCommand(folder);

// GNU OpenMP reads this when it is loaded. Its default is to spin at the end of every parallel loop; where another
// process has one of the cores, each loop then waits for a whole time slice of the scheduler: measured 20 times slower.
process.env.OMP_WAIT_POLICY ??= 'passive';

const bridge = loadAddon(folder, 'bridge');
if (bridge === undefined) {
  throw new Error(`the bridge to libtorch is not built for this folder and this processor: run \`${setup}\``);
}
export const native = bridge as Native;

/** Doubles that a call's arguments and results travel in; grown by {@link growCommand}. */
export let command = new Float64Array(1 << 14);
native.setCommandBuffer(command);

/** Makes room for `length` doubles; what is in the buffer stays. */
export function growCommand(length: number): void {
  const grown = new Float64Array(2 ** Math.ceil(Math.log2(length)));
  grown.set(command);
  command = grown;
  native.setCommandBuffer(command);
}
