// The program of the threads in threads.test.ts: waits, then answers with its thread, or fails as it is told.
import { setTimeout } from 'node:timers/promises';
import { threadId } from 'node:worker_threads';
import { DatasetError, serveTasks } from '../../dist/index.js';

serveTasks(
  async ({ wait = 0, fail, bytes = 0 }) => {
    if (fail === 'exit') process.exit(3);
    if (fail === 'exit later') setTimeout(200).then(() => process.exit(3));
    await setTimeout(wait);
    if (fail === 'dataset') throw new DatasetError('a.png: damaged', { kind: 'undecodable', file: 'a.png' });
    if (fail) throw new RangeError(fail);
    return { threadId, pixels: new Uint8Array(bytes) };
  },
  1,
  ({ pixels }) => [pixels.buffer],
);
