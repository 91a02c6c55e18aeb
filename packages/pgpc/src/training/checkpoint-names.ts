// The files of a training's states, by name alone: the command line knows them without libtorch.

import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** The newest state. */
export const CHECKPOINT_FILE = 'training.safetensors';
/** The one before it. */
export const PREVIOUS_FILE = 'training.previous.safetensors';
/** A state until it is whole: nothing counts on it. */
export const NEXT_FILE = 'training.next.safetensors';

/** The states that a training's folder has, the newest first, whole or not. */
export function statesIn(directory: string): string[] {
  return [CHECKPOINT_FILE, PREVIOUS_FILE]
    .map((name) => join(directory, name))
    .filter((file) => existsSync(file));
}
