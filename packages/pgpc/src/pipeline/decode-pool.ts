// Threads that decode images and labels while the main thread computes.

import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { ThreadPool } from '@pgpc/datasets';
import { type CropResult, type CropTask, runCropTask } from './sample.js';

/** The thread's program, as `tsc` leaves it next to this file; there is none where the sources run uncompiled. */
const COMPILED = new URL('./decode-worker.js', import.meta.url);

/** One thread less than the cores, which leaves one to compute; at least one. */
export function defaultWorkers(): number {
  return existsSync(COMPILED) ? Math.max(1, availableParallelism() - 1) : 0;
}

export interface DecodePoolOptions {
  /**
   * Threads; 0: the main thread decodes. {@link defaultWorkers} by default. More than four need the environment
   * variable UV_THREADPOOL_SIZE as large when the process starts, since libuv's threads do the decoding itself.
   */
  workers?: number;
  /** The thread's program. */
  program?: URL;
}

/** Decodes crops in threads, which do not keep the process alive. */
export class DecodePool {
  readonly workers: number;
  readonly #threads: ThreadPool<CropTask, CropResult>;
  #disposed = false;

  /** @throws RangeError unless `workers` is a whole number from 0 */
  constructor({ workers = defaultWorkers(), program = COMPILED }: DecodePoolOptions = {}) {
    if (!Number.isSafeInteger(workers) || workers < 0) {
      throw new RangeError(`the number of decoding threads is a whole number from 0, not ${workers}`);
    }
    this.workers = workers;
    this.#threads = new ThreadPool(program, workers);
  }

  /** How many threads have ended of themselves and were replaced, and why the last did; undefined: none has. */
  get lost(): ThreadPool<CropTask, CropResult>['lost'] {
    return this.#threads.lost;
  }

  /** @throws DatasetError for files that do not decode; Error if threads end over them. */
  async run(task: CropTask): Promise<CropResult> {
    if (this.#disposed) throw new Error('this pool of decoding threads is disposed');
    return this.workers === 0 ? runCropTask(task) : this.#threads.run(task);
  }

  /** Lets the threads finish what they have been given, and waits until they have ended. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    await this.#threads.dispose();
  }
}
