// The process that libtorch runs in: threads and build.

import { existsSync, realpathSync } from 'node:fs';
import { firstCore } from '@pgpc/addon';
import { coreKind } from './core-kind.js';
import { native } from './native.js';
import type { BuildInfo } from './native-types.js';

export type { BuildInfo };

/** More threads than any machine has cores; far above it, the process cannot start them and dies. */
const MOST_THREADS = 1024;

/** The threads that one operator may use. @param threads from 1 to 1024. @throws RangeError for anything else. */
export function setNumThreads(threads: number): void {
  if (!Number.isSafeInteger(threads) || threads < 1 || threads > MOST_THREADS) {
    throw new RangeError(`the number of threads is a whole number from 1 to ${MOST_THREADS}, not ${threads}`);
  }
  native.setNumThreads(threads);
}

/** Libtorch's version, threads, GPU and BLAS, and what its processor is. */
export function buildInfo(): BuildInfo {
  const info: BuildInfo = { ...native.buildInfo(), core: coreKind(firstCore()) };
  if (info.cuda && native.cudaFeatures()) info.device = native.cudaName();
  // Debian chooses the BLAS by a chain of links; its end has the library's name.
  return existsSync(info.blas) ? { ...info, blas: realpathSync(info.blas) } : info;
}
