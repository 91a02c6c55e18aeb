// What the numbers of a training depend on besides its data: the libraries, the threads and the processor.

import type { RunInfo } from './run-directory/schema.js';

/** Versions by the names that `run.json` has them under, and what is said of each. A change of another changes no number. */
const NUMBERS: readonly (readonly [name: string, what: string])[] = [
  ['pgpc', 'pgpc'],
  ['libtorch', 'libtorch'],
  ['BLAS', 'the BLAS library'],
  ['instructions', "libtorch's vector instructions"],
  // Virtual machines may have one name for many, and a BLAS library may use instructions that libtorch does not.
  ['core', "the processor's kind"],
];

/**
 * What is not as it was when the run last computed and changes its numbers, in words: with the same sums in another order,
 * or by another release, training follows another path from the first step on.
 * @param now versions and device of this process, as run.json has them, and the machine.
 */
export function surroundingChanges(
  { versions, device, machine }: Pick<RunInfo, 'versions' | 'device' | 'machine'>,
  now: {
    readonly versions: Readonly<Record<string, string>>;
    readonly device: string;
    readonly machine: string;
  },
): string[] {
  const changes = NUMBERS.flatMap(([name, what]) => {
    const [before, after] = [versions[name], now.versions[name]];
    if (before === undefined || before === after) return [];
    return [`${what} ${what.endsWith('s') ? 'are' : 'is'} ${after} instead of ${before}`];
  });
  const { threads } = versions;
  if (threads !== undefined && threads !== now.versions.threads) {
    changes.push(
      `${now.versions.threads} threads instead of ${threads} (OMP_NUM_THREADS=${threads} has as many)`,
    );
  }
  const last = device?.split(THEN).at(-1);
  if (last !== undefined && last !== now.device)
    changes.push(`the device is ${now.device} instead of ${last}`);
  const [before, after] = [processorOf(machine), processorOf(now.machine)];
  if (before !== after) changes.push(`the processor is ${after} instead of ${before}`);
  return changes;
}

/** Between the devices of a run that was resumed on another one. */
export const THEN = ', then ';

/** Of `describeMachine`: platform and model, without the number of threads and the memory. */
function processorOf(machine: string): string {
  return machine.replace(/, \d+ threads, \d+ GiB$/, '');
}
