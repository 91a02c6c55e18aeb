// Threads that render scenes side by side: a scene depends on its request alone.

import { Worker } from 'node:worker_threads';
import { compiledProgram, DatasetError } from '@pgpc/datasets';
import type { SceneTask } from './write.js';

const PROGRAM = compiledProgram(import.meta.url, './render-worker.js');

/** What a thread posts back after each scene: the message of the error, if there was one. */
export interface SceneAnswer {
  fault: string | undefined;
}

interface Waiting {
  resolve: () => void;
  reject: (error: Error) => void;
}

/** A thread answers in the order in which it was asked. */
interface Thread {
  worker: Worker;
  waiting: Waiting[];
}

/** Up to a number of threads, each started when all others are busy, and ended by disposal. */
export class RenderThreads {
  readonly #threads: Thread[] = [];

  constructor(readonly count: number) {}

  /** Has the idlest thread render the scene into its files. @throws {DatasetError} when one cannot be written */
  write(task: SceneTask): Promise<void> {
    const { worker, waiting } = this.#idlest();
    return new Promise((resolve, reject) => {
      waiting.push({ resolve, reject });
      worker.postMessage(task);
    });
  }

  #idlest(): Thread {
    const [idlest] = this.#threads.toSorted((a, b) => a.waiting.length - b.waiting.length);
    if (idlest && (idlest.waiting.length === 0 || this.#threads.length === this.count)) return idlest;
    const started = startThread();
    this.#threads.push(started);
    return started;
  }

  [Symbol.dispose](): void {
    for (const { worker } of this.#threads) void worker.terminate();
  }
}

function startThread(): Thread {
  const worker = new Worker(PROGRAM);
  const waiting: Waiting[] = [];
  const failAll = (error: Error) => {
    for (const { reject } of waiting.splice(0)) reject(error);
  };
  worker.on('message', ({ fault }: SceneAnswer) => {
    const { resolve, reject } = waiting.shift()!;
    if (fault === undefined) resolve();
    else reject(new DatasetError(fault));
  });
  worker.on('error', failAll);
  worker.on('exit', () => failAll(new Error('a rendering thread has ended')));
  return { worker, waiting };
}
