// The versions that a run directory names.

import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { buildInfo, setNumThreads } from '@pgpc/torch';

/** This package's version, from its package.json. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/**
 * Lets libtorch use all cores that this process may use (some builds start with one thread), or as many threads as
 * OMP_NUM_THREADS says. Tensors of a few thousand elements are faster on one.
 */
export function useCores(limit = availableParallelism()): void {
  setNumThreads(Number(process.env.OMP_NUM_THREADS) || Math.min(limit, availableParallelism()));
}

/** A device as people know it: 'cpu', or 'cuda:0 (NVIDIA H100 80GB HBM3)'. */
export function describeDevice(device: string): string {
  const { device: card } = buildInfo();
  return device === 'cpu' || card === undefined ? device : `${device} (${card})`;
}

export function versions(): Record<string, string> {
  const { libtorch, blas, threads } = buildInfo();
  return { pgpc: packageVersion(), libtorch, BLAS: blas, threads: String(threads) };
}
