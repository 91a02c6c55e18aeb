// The GPU: what it holds, how to wait for it, copies ahead of their use, and graphs of repeated work.

import { native, setup } from './native.js';
import { ops } from './ops.js';
import { keep, type Tensor, tidy } from './tensor.js';

/** Bytes of the current GPU: what this process's tensors take and have taken, and what all processes leave free. */
export interface DeviceMemory {
  allocated: number;
  peak: number;
  /** What is kept for tensors to come is reserved, too. */
  reserved: number;
  peakReserved: number;
  free: number;
  total: number;
}

/** Whether graphs, memory figures and streams are there: a GPU, and a bridge that was built with CUDA's headers. */
export function cudaAvailable(): boolean {
  return native.cudaFeatures() && native.buildInfo().cuda;
}

function needCard(what: string): void {
  if (cudaAvailable()) return;
  const reason = native.buildInfo().cuda
    ? `the bridge was built without CUDA's headers: set CUDA_HOME to a toolkit and run \`${setup()}\` again`
    : 'there is no NVIDIA GPU with a working driver, or this libtorch is one without CUDA';
  throw new Error(`${what}: ${reason}`);
}

/**
 * Makes a GPU the current one: `cuda` without a number and the functions here mean it. Call it before making tensors there.
 * @param device 'cuda' or 'cuda:1', ... @throws Error without a GPU; TorchError if there is none of the number.
 */
export function setDevice(device: string): void {
  needCard('setDevice');
  ops.empty([0], { device }).dispose();
  native.cudaUseDevice(Number(device.split(':')[1] ?? 0));
}

/** Waits for all work of the GPU; without one there is nothing to wait for. */
export function synchronize(): void {
  if (cudaAvailable()) native.cudaSynchronize();
}

/** @throws Error without a GPU. */
export function deviceMemory(): DeviceMemory {
  needCard('deviceMemory');
  const [allocated, peak, reserved, peakReserved, free, total] = native.cudaMemory();
  return { allocated, peak, reserved, peakReserved, free, total };
}

/** From here on `peak` and `peakReserved` count what follows. @throws Error without a GPU. */
export function resetPeakMemory(): void {
  needCard('resetPeakMemory');
  native.cudaResetPeak();
}

/** Gives back what is kept for tensors to come. */
export function emptyCache(): void {
  if (cudaAvailable()) native.cudaEmptyCache();
}

/** How a GPU computes. */
export function deviceMath({
  tf32,
  benchmark,
}: {
  /** Float32 products on tensor cores, with 10 bits of the factors. Off in libtorch. */
  tf32: boolean;
  /** cuDNN tries its algorithms at the first call of each shape and takes the fastest. */
  benchmark: boolean;
}): void {
  native.cudaMath(tf32, benchmark);
}

/**
 * Runs `fn`, in which an operator that makes the program wait for the GPU throws: for tests of code that should keep
 * the GPU busy. Waits that a copy of a program's own asks for are operators, too.
 */
export function withoutWaiting<T>(fn: () => T): T {
  needCard('withoutWaiting');
  native.cudaForbidWaiting(true);
  try {
    return fn();
  } finally {
    native.cudaForbidWaiting(false);
  }
}

/** Tensors on their way to a device. */
export class Ahead {
  #tensors: Tensor[];

  constructor(tensors: Tensor[]) {
    this.#tensors = tensors;
  }

  /** The tensors, for the caller to dispose: what follows on the device waits for the copies, the program does not. */
  take(): Tensor[] {
    const taken = this.#tensors;
    this.#tensors = [];
    if (taken.length > 0) ops.call('pgpc::await_ahead', taken);
    return taken;
  }

  /** Frees what was not taken. */
  dispose(): void {
    for (const tensor of this.take()) tensor.dispose();
  }
}

/**
 * Starts to copy tensors to a device, through page-locked memory and on a stream of its own, while the device works on.
 * The caller keeps the tensors given. On the CPU they are copied by nobody.
 */
export function copyAhead(tensors: readonly Tensor[], device: string): Ahead {
  const copies = tidy(() => ops.call('pgpc::to_device_ahead', [...tensors], device) as Tensor[]);
  return new Ahead(copies.map(keep));
}

/** Work of a GPU that was recorded once and is started as a whole, without a call an operator. */
export class CudaGraph {
  #id: number;

  private constructor(id: number) {
    this.#id = id;
  }

  /**
   * Records what `work` asks of the GPU, without running it. It may read and write tensors that stay where they are;
   * the tensors that it makes are the graph's, and hold what the last {@link replay} has put there. It must not wait for the
   * GPU, and runs the same operators on the same shapes every time. What it draws at random is drawn anew by each
   * replay, if the generator has drawn on the GPU before.
   * @param after a graph whose memory this one shares: for graphs that are always replayed in that order.
   * @throws Error without a GPU; what `work` throws, or TorchError if it cannot be recorded.
   */
  static record<T>(work: () => T, after?: CudaGraph): { graph: CudaGraph; result: T } {
    needCard('CudaGraph.record');
    const id = native.graphBegin(after ? after.#live() : 0);
    try {
      const result = work();
      native.graphEnd(id);
      return { graph: new CudaGraph(id), result };
    } catch (error) {
      native.graphAbandon(id);
      throw error;
    }
  }

  #live(): number {
    if (this.#id === 0) throw new TypeError('the graph was disposed');
    return this.#id;
  }

  /** Runs what was recorded, on what its tensors hold now. */
  replay(): void {
    native.graphReplay(this.#live());
  }

  /** Waits for it to end and frees its memory. The tensors that it made must not be used any more. */
  dispose(): void {
    if (this.#id === 0) return;
    native.graphFree(this.#id);
    this.#id = 0;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
