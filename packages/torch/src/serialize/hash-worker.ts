// The thread that hashes files while they are written.

import { createHash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import { type HashTask, hashBytes, PLACES } from './hash-thread.js';

parentPort!.on('message', ({ fd, places }: HashTask) => {
  try {
    follow(fd, places);
  } catch {
    // The writer reads the file itself when it has waited, and says then what is wrong with it.
  }
});

function follow(fd: number, places: HashTask['places']): void {
  const hash = createHash('sha256');
  const tell = (place: number, value: bigint) => {
    Atomics.store(places, place, value);
    Atomics.notify(places, place);
  };
  for (let at = 0; ; ) {
    const said = Atomics.load(places, PLACES.said);
    const end = Atomics.load(places, PLACES.end);
    const written = Number(Atomics.load(places, PLACES.written));
    if (end === 2n) return;
    if (at < written) {
      hashBytes(hash, fd, at, written, (now) => tell(PLACES.hashed, BigInt(now)));
      at = written;
    } else if (end === 1n) {
      hash.digest().copy(Buffer.from(places.buffer, 8 * PLACES.digest, 32));
      tell(PLACES.done, 1n);
      return;
    } else {
      Atomics.wait(places, PLACES.said, said);
    }
  }
}
