// What `--device` and `--precision` stand for on this machine, and in this one of several processes.

import { buildInfo, ops, TorchError } from '@pgpc/torch';
import type { Experiment } from '../config/experiment.js';
import type { Precision } from '../config/precision.js';
import { UsageError } from './command.js';

/**
 * The device by its full name: 'cpu' or 'cuda:N'. Of several processes on a machine each takes the card of its place.
 * @param choice 'auto', 'cpu', 'cuda' or 'cuda:N'.
 * @throws UsageError where several processes would share a card; Error if the device cannot be used, with the reason.
 */
export function chosenDevice(
  choice: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  const name = choice === 'auto' ? (buildInfo().cuda ? 'cuda' : 'cpu') : choice;
  if (name === 'cpu') return name;
  const several = Number(env.WORLD_SIZE) > 1;
  if (several && name !== 'cuda' && Number(env.LOCAL_WORLD_SIZE) > 1) {
    throw new UsageError(
      `--device ${choice}: each of the ${env.LOCAL_WORLD_SIZE} processes needs a card of its own; with --device cuda each takes one`,
    );
  }
  try {
    // Only an allocation finds out whether a card works.
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

/** The experiment's precision: as asked for, or else what the device is fast in. */
export function chosenPrecision(
  precision: Precision | undefined,
  device: string,
): Pick<Experiment, 'precision'> {
  const chosen = precision ?? (device === 'cpu' ? 'float32' : 'bfloat16');
  // An experiment in float32 is the same with and without the option.
  return chosen === 'float32' ? {} : { precision: chosen };
}
