// The thread that draws while a command says nothing: JavaScript's own thread may be inside of a training step.

import { writeSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { beat, type PulseState } from './pulse-beat.js';

const { state, live } = workerData as { state: Int32Array<SharedArrayBuffer>; live: boolean };
let shown: Pick<PulseState, 'line' | 'bar' | 'columns'> = { line: '', bar: false, columns: 80 };
parentPort!.on('message', (next: typeof shown) => {
  shown = next;
});

setInterval(() => {
  beat({ ...shown, live, state, now: Date.now() }, (text) => {
    try {
      writeSync(2, text);
    } catch {
      // A pipe that is full, or a terminal that is closed: the next beat may find another.
    }
  });
}, 250);
