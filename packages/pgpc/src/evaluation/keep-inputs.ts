// Results never take the place of what they were made from, or of labels that somebody drew.

import { realpath, stat } from 'node:fs/promises';
import { UsageError } from '../config/usage-error.js';
import { isPrediction } from './prediction-mark.js';

/** @throws UsageError where results would be written into the very folder that the images are in, links included. */
export async function keepInputFolder(images: string, out: string): Promise<void> {
  const [from, to] = await Promise.all(
    [images, out].map((folder) => realpath(folder).catch(() => undefined)),
  );
  if (from === undefined || from !== to) return;
  throw new UsageError(`${out}: the images are in this folder; name another one for the label maps`);
}

/**
 * @throws UsageError, before anything is written, where an output is one of the inputs, by whatever name or link, or a file
 *   that is there and is no earlier prediction.
 */
export async function keepInputs(inputs: Iterable<string>, outputs: Iterable<string>): Promise<void> {
  const there = new Map<string, string>();
  for (const output of outputs) {
    const file = await identity(output);
    if (file !== undefined) there.set(file, output);
  }
  if (there.size === 0) return;
  for (const input of inputs) {
    const file = await identity(input);
    const output = file === undefined ? undefined : there.get(file);
    if (output === undefined) continue;
    throw new UsageError(`${output}: this label map would overwrite ${input}; name another folder`);
  }
  for (const output of there.values()) {
    if (await isPrediction(output)) continue;
    throw new UsageError(
      `${output}: is there already and is no label map of pgpc's; name another folder, or move it away`,
    );
  }
}

/** Equal for all names of one file; undefined where there is none. */
async function identity(file: string): Promise<string | undefined> {
  return stat(file, { bigint: true }).then(
    ({ dev, ino }) => `${dev} ${ino}`,
    () => undefined,
  );
}
