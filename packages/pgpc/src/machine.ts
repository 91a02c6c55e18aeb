// The machine: its versions and devices by name, and the one to compute on.

import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { buildInfo, ops, setNumThreads, TorchError } from '@pgpc/torch';
import { UsageError } from './config/usage-error.js';

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
  const { device: gpu } = buildInfo();
  return device === 'cpu' || gpu === undefined ? device : `${device} (${gpu})`;
}

export function versions(): Record<string, string> {
  const { libtorch, blas, threads, instructions, core } = buildInfo();
  return { pgpc: packageVersion(), libtorch, BLAS: blas, threads: String(threads), instructions, core };
}

/** Where and how a process computes. */
export interface ProcessOptions {
  /** 'auto' (default: the GPU where there is one), 'cpu', 'cuda' or 'cuda:N'. */
  device?: string | undefined;
  /** Threads of libtorch's operators; left out: as many as the process has set. */
  threads?: number | undefined;
  /** Stops what is under way. */
  signal?: AbortSignal | undefined;
}

/** Sets the threads. @returns the device by its full name. @throws as {@link chosenDevice} does. */
export function enterProcess({ device, threads }: ProcessOptions): string {
  if (threads !== undefined) setNumThreads(threads);
  return chosenDevice(device);
}

/**
 * The device by its full name: 'cpu' or 'cuda:N'. Of several processes on a machine each takes the GPU of its place.
 * @param choice 'auto', 'cpu', 'cuda' or 'cuda:N'.
 * @throws UsageError where several processes would share a GPU; Error if the device cannot be used, with the reason.
 */
export function chosenDevice(
  choice = 'auto',
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const name = choice === 'auto' ? (buildInfo().cuda ? 'cuda' : 'cpu') : choice;
  if (name === 'cpu') return name;
  const several = Number(env.WORLD_SIZE) > 1;
  if (several && name !== 'cuda' && Number(env.LOCAL_WORLD_SIZE) > 1) {
    throw new UsageError(
      `--device ${choice}: each of the ${env.LOCAL_WORLD_SIZE} processes needs a GPU of its own; with --device cuda each takes one`,
    );
  }
  try {
    // Only an allocation finds out whether a GPU works.
    using probe = ops.empty([1], {
      device: several && name === 'cuda' ? `cuda:${Number(env.LOCAL_RANK) || 0}` : name,
    });
    return probe.device;
  } catch (error) {
    if (!(error instanceof TorchError)) throw error;
    throw new Error(`--device ${choice}: ${reason(error)}; --device cpu computes without a GPU`);
  }
}

/** The first line of libtorch's refusal, without the operator that it refused. */
function reason({ message }: TorchError): string {
  return message
    .split('\n')[0]!
    .replace(/^aten::.*?\}\): /, '')
    .replace(/\.$/, '');
}
