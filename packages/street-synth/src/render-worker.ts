// The program of a rendering thread: renders the scenes that it is given, one after the other.

import { parentPort } from 'node:worker_threads';
import type { SceneAnswer } from './render-threads.js';
import { type SceneTask, writeScene } from './write.js';

let before = Promise.resolve();

parentPort!.on('message', (task: SceneTask) => {
  before = before
    .then(() => writeScene(task))
    .then(
      () => answer(undefined),
      (error: unknown) => answer(error instanceof Error ? error.message : String(error)),
    );
});

function answer(fault: string | undefined): void {
  parentPort!.postMessage({ fault } satisfies SceneAnswer);
}
