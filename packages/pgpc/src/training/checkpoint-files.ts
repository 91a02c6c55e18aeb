// The states of a training on disk: the newest and the one before it, and which of them is whole.

import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { flushFolderSync } from '@pgpc/datasets';
import { checkSafetensors, indexWeights } from '@pgpc/torch';
import { CHECKPOINT_FILE, NEXT_FILE, PREVIOUS_FILE, statesIn } from './checkpoint-names.js';

const DAMAGED_FILE = 'training.damaged.safetensors';
/** A newest state that `--from` has gone back behind. */
const LEFT_FILE = 'training.left.safetensors';

/** Of files with a checksum. */
export const FORMAT = 'pgpc-training/2';
/** Of releases before there was one. */
export const FORMATS: readonly (string | undefined)[] = [FORMAT, 'pgpc-training/1'];

/**
 * Writes a state in the newest's place, which becomes the one before it.
 * @param write fills the file that it is given, to the disk. The rename after it is the moment at which the state is there.
 */
export function commitCheckpoint(directory: string, write: (file: string) => void): void {
  const [next, newest] = [join(directory, NEXT_FILE), join(directory, CHECKPOINT_FILE)];
  write(next);
  if (existsSync(newest)) renameSync(newest, join(directory, PREVIOUS_FILE));
  renameSync(next, newest);
  flushFolderSync(directory);
}

/** A state that training can resume from. */
export interface FoundCheckpoint {
  readonly file: string;
  /** Why it is not the newest, for the user; undefined: it is. */
  readonly instead: string | undefined;
}

/**
 * The newest state that is whole.
 * @returns undefined where there is none at all.
 * @throws Error if there are states and each is damaged.
 */
export function findCheckpoint(directory: string): FoundCheckpoint | undefined {
  const [newest, previous] = [join(directory, CHECKPOINT_FILE), join(directory, PREVIOUS_FILE)];
  const there = statesIn(directory);
  if (there.length === 0) return undefined;
  const file = there.find(isWhole);
  if (file === newest) return { file, instead: undefined };
  const what = existsSync(newest) ? `${newest} is damaged: its bytes are not what was written` : undefined;
  if (file === undefined) {
    const both = there.length > 1 ? ', and so is the one before it' : '';
    throw new Error(
      `${what ?? `${previous} is damaged: its bytes are not what was written`}${both}; there is no other checkpoint to resume from, so start the run anew`,
    );
  }
  return { file, instead: `${what ?? `${newest} is missing`}; the checkpoint before it is taken` };
}

/** Removes the states of a training that is not going to be resumed. */
export function removeStates(directory: string): void {
  for (const name of [CHECKPOINT_FILE, PREVIOUS_FILE, NEXT_FILE, DAMAGED_FILE]) {
    rmSync(join(directory, name), { force: true });
  }
}

/** The states that are whole, the newest first. */
export function wholeCheckpoints(directory: string): string[] {
  return statesIn(directory).filter(isWhole);
}

/**
 * Makes room for the states that follow one that is resumed from: a newest state that is not it gives up its name, so that
 * the next one does not replace the whole one before it by it.
 */
export function setAside(directory: string, resumed: string): void {
  const newest = join(directory, CHECKPOINT_FILE);
  if (newest === resumed || !existsSync(newest)) return;
  renameSync(newest, join(directory, isWhole(newest) ? LEFT_FILE : DAMAGED_FILE));
}

function isWhole(file: string): boolean {
  const fits = checkSafetensors(file);
  if (fits !== undefined) return fits;
  try {
    // Of a release that wrote none, or no state at all, which is refused by name where it is read.
    return indexWeights(file).metadata.format !== FORMAT;
  } catch {
    return false;
  }
}
