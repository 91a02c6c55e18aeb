// The thread that hashes files while they are written.

import { createHash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import { count, type HashTask, hashBytes, PLACES } from './hash-thread.js';

parentPort!.on('message', ({ fd, places }: HashTask) => {
  try {
    follow(fd, places);
  } catch {
    // The writer reads the file itself when it has waited, and says then what is wrong with it.
  }
});

function follow(fd: number, places: HashTask['places']): void {
  const hash = createHash('sha256');
  for (let at = 0; ; ) {
    const said = Atomics.load(places, PLACES.said);
    const end = Atomics.load(places, PLACES.end);
    const written = Number(Atomics.load(places, PLACES.written));
    if (end === 2n) return;
    if (at < written) {
      hashBytes(hash, fd, at, written, () => count(places, PLACES.heard));
      at = written;
    } else if (end === 1n) {
      hash.digest().copy(Buffer.from(places.buffer, 8 * PLACES.digest, 32));
      Atomics.store(places, PLACES.done, 1n);
      count(places, PLACES.heard);
      return;
    } else {
      Atomics.wait(places, PLACES.said, said);
    }
  }
}
