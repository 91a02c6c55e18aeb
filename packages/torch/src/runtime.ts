// The process that libtorch runs in: threads and build.

import { type BuildInfo, native } from './native.js';

export type { BuildInfo };

/** The threads that one operator may use. @param threads from 1. */
export function setNumThreads(threads: number): void {
  if (!Number.isSafeInteger(threads) || threads < 1) {
    throw new RangeError(`the number of threads is a whole number from 1, not ${threads}`);
  }
  native.setNumThreads(threads);
}

/** Libtorch's version, threads, devices and BLAS. */
export function buildInfo(): BuildInfo {
  return native.buildInfo();
}
