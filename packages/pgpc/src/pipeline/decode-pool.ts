// Threads that decode images and labels while the main thread computes.

import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { DatasetError, type FaultKind } from '@pgpc/datasets';
import { type CropResult, type CropTask, runCropTask } from './sample.js';

/** What the main thread posts to a decoding thread. */
export interface Question {
  id: number;
  task: CropTask;
}

/** An error, as plain data. */
interface Failure {
  message: string;
  stack: string | undefined;
  /** It was a DatasetError, with this kind and file. */
  dataset: boolean;
  kind: FaultKind | undefined;
  file: string | undefined;
}

/** What it posts back. */
export type Answer =
  | { id: number; result: CropResult; failure?: undefined }
  | { id: number; result?: undefined; failure: Failure };

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

/** A fixed number of decoding threads, started by the first task. They do not keep the process alive. */
export class DecodePool {
  readonly workers: number;
  readonly #program: URL;
  #threads: DecodeThread[] = [];
  #disposed = false;

  constructor({ workers = defaultWorkers(), program = COMPILED }: DecodePoolOptions = {}) {
    if (!Number.isSafeInteger(workers) || workers < 0) {
      throw new RangeError(`the number of decoding threads is a whole number from 0, not ${workers}`);
    }
    this.workers = workers;
    this.#program = program;
  }

  /** @throws DatasetError for files that do not decode; Error if the thread itself ends. */
  async run(task: CropTask): Promise<CropResult> {
    if (this.#disposed) throw new Error('this pool of decoding threads is disposed');
    if (this.workers === 0) return runCropTask(task);
    if (this.#threads.length === 0) {
      this.#threads = Array.from({ length: this.workers }, () => new DecodeThread(this.#program));
    }
    const idlest = this.#threads.reduce((a, b) => (b.pending < a.pending ? b : a));
    return idlest.run(task);
  }

  /** Lets the threads finish what they have been given, and waits until they have ended. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    await Promise.all(this.#threads.map((thread) => thread.close()));
    this.#threads = [];
  }
}

function failureError({ message, stack, dataset, kind, file }: Failure): Error {
  const error = dataset ? new DatasetError(message, { kind, file }) : new Error(message);
  if (stack) error.stack = stack;
  return error;
}

class DecodeThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<
    number,
    { resolve: (result: CropResult) => void; reject: (error: Error) => void }
  >();
  #nextId = 0;
  #fault: Error | undefined;

  constructor(program: URL) {
    this.#worker = new Worker(program);
    this.#worker.unref();
    this.#worker.on('message', (answer: Answer) => this.#settle(answer));
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new Error('a decoding thread has ended')));
  }

  get pending(): number {
    return this.#waiting.size;
  }

  run(task: CropTask): Promise<CropResult> {
    if (this.#fault) return Promise.reject(this.#fault);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      // Only what somebody waits for may keep the process alive.
      this.#worker.ref();
      this.#worker.postMessage({ id, task } satisfies Question);
    });
  }

  #settle({ id, result, failure }: Answer): void {
    const { resolve, reject } = this.#waiting.get(id)!;
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (result) resolve(result);
    else reject(failureError(failure));
  }

  #fail(error: Error): void {
    this.#fault ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#fault);
    this.#waiting.clear();
  }

  async close(): Promise<void> {
    if (this.#fault) return;
    // Not events.once, which fails where the thread ends by an error: that is for its tasks to say.
    const ended = new Promise((resolve) => this.#worker.once('exit', resolve));
    this.#worker.ref();
    this.#worker.postMessage('close');
    await ended;
  }
}
