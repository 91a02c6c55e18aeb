// SHA-256 of a file that is being written, by a thread: hashing takes as long as writing, so neither waits for the other.

import { createHash, type Hash } from 'node:crypto';
import { readSync } from 'node:fs';
import { Worker } from 'node:worker_threads';

/** From the sources, too, which run uncompiled under the test runner. */
const PROGRAM = new URL('../../dist/serialize/hash-worker.js', import.meta.url);
const READ_BYTES = 1 << 20;

/** What the two threads tell each other, as places of one shared array of 64-bit numbers. */
export const PLACES = {
  /** Counts what the writer has said: the other one waits for it. */
  said: 0,
  /** Bytes that are in the file. */
  written: 1,
  /** 1: no more follow; 2: the sum is not wanted any longer. */
  end: 2,
  /** Counts how often the thread has come further: the writer waits for it. */
  heard: 3,
  /** 1: the digest is there. */
  done: 4,
  /** 32 bytes. */
  digest: 5,
} as const;
const LENGTH = PLACES.digest + 4;

/** What the thread is given. */
export interface HashTask {
  readonly fd: number;
  readonly places: BigInt64Array<SharedArrayBuffer>;
}

/** One for all files, kept, since a start takes longer than a small file's sum. */
let thread: Worker | undefined;

function startThread(): Worker {
  const started = new Worker(PROGRAM, { execArgv: [] });
  started.unref();
  // Whoever waits for it finds that nothing comes; the next file has another.
  const forget = () => {
    if (thread === started) thread = undefined;
  };
  started.on('error', forget);
  started.on('exit', forget);
  return started;
}

/** The sum of a file that grows: {@link wrote} says how much is there. Dispose it before the file is closed. */
export class FollowingHash {
  readonly #places = new BigInt64Array(new SharedArrayBuffer(8 * LENGTH));
  #isAlone = false;

  /** @param fd can be read, too. @param patience milliseconds without progress after which the thread is not waited for */
  constructor(
    readonly fd: number,
    readonly patience = 5000,
  ) {
    try {
      thread ??= startThread();
      thread.postMessage({ fd, places: this.#places } satisfies HashTask);
    } catch {
      // The system has no thread left, say: then there is none to wait for.
      this.#isAlone = true;
    }
  }

  /** These are the file's next bytes, and already there. */
  wrote({ length }: Uint8Array): void {
    Atomics.add(this.#places, PLACES.written, BigInt(length));
    this.#say();
  }

  /** The file's SHA-256 in hexadecimal digits, once all of it has been hashed. */
  digest(): string {
    if (this.#isAlone) return this.#alone();
    Atomics.store(this.#places, PLACES.end, 1n);
    this.#say();
    const places = this.#places;
    for (;;) {
      const heard = Atomics.load(places, PLACES.heard);
      if (Atomics.load(places, PLACES.done) !== 0n) break;
      if (Atomics.wait(places, PLACES.heard, heard, this.patience) === 'timed-out') return this.#alone();
    }
    return Buffer.from(places.buffer, 8 * PLACES.digest, 32).toString('hex');
  }

  /** Without the thread, which may have died. */
  #alone(): string {
    const hash = createHash('sha256');
    hashBytes(hash, this.fd, 0, Number(Atomics.load(this.#places, PLACES.written)));
    return hash.digest('hex');
  }

  #say(): void {
    count(this.#places, PLACES.said);
  }

  [Symbol.dispose](): void {
    Atomics.store(this.#places, PLACES.end, 2n);
    this.#say();
  }
}

/** Counts at a place, and wakes the thread that waits for it. */
export function count(places: HashTask['places'], place: number): void {
  Atomics.add(places, place, 1n);
  Atomics.notify(places, place);
}

/** One for all files, as that of the writer. */
let buffer: Buffer | undefined;

/**
 * Hashes bytes `from` to `to` of a file.
 * @param onRead is told of every part
 * @throws Error where the file ends before `to`
 */
export function hashBytes(hash: Hash, fd: number, from: number, to: number, onRead?: () => void): void {
  buffer ??= Buffer.allocUnsafe(READ_BYTES);
  for (let at = from; at < to; ) {
    const read = readSync(fd, buffer, 0, Math.min(buffer.length, to - at), at);
    if (read === 0) throw new Error(`file ${fd} ends at byte ${at}, not ${to}`);
    hash.update(buffer.subarray(0, read));
    at += read;
    onRead?.();
  }
}
