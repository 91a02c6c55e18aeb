// The networks as the page uses them: one picture at a time through the worker.

import type { TriedDescription } from '../../src/try/protocol.js';
import type { FromWorker, Segmented, ToWorker } from './messages.js';

export type { Segmented };

/** What the networks run on. */
export type Device = Extract<FromWorker, { kind: 'ready' }>;

export class Networks {
  readonly #worker = new Worker('/worker.js', { type: 'module' });
  #waiting: Promise<unknown> = Promise.resolve();

  /** @throws Error where a network cannot be loaded */
  load(description: TriedDescription): Promise<Device> {
    return this.#ask({ kind: 'load', description }, 'ready');
  }

  /** Pictures wait for one another. @throws Error where the network fails on the picture */
  segment(picture: ImageBitmap): Promise<Segmented> {
    return this.#ask({ kind: 'segment', picture }, 'segmented', [picture]);
  }

  #ask<K extends FromWorker['kind']>(
    message: ToWorker,
    expected: K,
    transfer: Transferable[] = [],
  ): Promise<Extract<FromWorker, { kind: K }>> {
    const answered = this.#waiting.then(
      () =>
        new Promise<Extract<FromWorker, { kind: K }>>((resolve, reject) => {
          this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
            if (data.kind === expected) resolve(data as Extract<FromWorker, { kind: K }>);
            else reject(new Error(data.kind === 'failed' ? data.message : `unexpected: ${data.kind}`));
          };
          this.#worker.onerror = ({ message: reason }) =>
            reject(new Error(`the worker cannot be started: ${reason || 'its script did not load'}`));
          this.#worker.postMessage(message, transfer);
        }),
    );
    this.#waiting = answered.catch(() => {});
    return answered;
  }
}
