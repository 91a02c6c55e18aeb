// Room on the disk: what a run will take, against what is free, before its first step; and what to say when there is none left.

import { statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { MODEL_FILE } from '../models/checkpoint.js';
import { CHECKPOINT_FILE, NEXT_FILE, PREVIOUS_FILE } from './checkpoint-names.js';

/** What a run writes, in bytes. */
export interface RunFiles {
  /** A training's state. */
  readonly state: number;
  /** The student's model. */
  readonly model: number;
  /** Pictures and metrics, roughly. */
  readonly shown: number;
}

/**
 * The most that is on the disk at once: two states and the one that takes their place, the model, and the best one.
 * @returns the sum, and how it comes about in words.
 */
function roomFor({ state, model, shown }: RunFiles): { bytes: number; words: string } {
  return {
    bytes: 3 * state + 2 * model + shown,
    words: `three checkpoints of ${megabytes(state)}, two models of ${megabytes(model)}, ${megabytes(shown)} of pictures and metrics`,
  };
}

/**
 * Compares what a run will take with what is free on its disk. What it has written before counts as free.
 * @param folders of its checkpoint and of the best model.
 * @throws Error with both numbers if that is too little. A file system that does not say how large it is has room.
 */
export function checkRoom(run: string, folders: { checkpoint: string; best: string }, files: RunFiles): void {
  const { bavail, bsize, blocks } = statfsSync(run);
  if (blocks === 0) return;
  const { bytes, words } = roomFor(files);
  const written = [
    ...[CHECKPOINT_FILE, PREVIOUS_FILE, NEXT_FILE, MODEL_FILE].map((name) => join(folders.checkpoint, name)),
    join(folders.best, MODEL_FILE),
  ].reduce((sum, file) => sum + (statSync(file, { throwIfNoEntry: false })?.size ?? 0), 0);
  const [needed, free] = [bytes - written, bavail * bsize];
  if (needed <= free) return;
  throw new Error(
    `${run}: the run needs ${megabytes(needed)} more on this disk (${words}${written > 0 ? `; ${megabytes(written)} are there` : ''}), and ${megabytes(free)} are free: free some, or choose another --out`,
  );
}

/** An error as a run says it: with what to do, where the disk is full. */
export function withDiskAdvice(error: unknown, run: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (!(error instanceof Error) || (code !== 'ENOSPC' && code !== 'EDQUOT')) return error;
  return new Error(
    `${error.message}. What was saved before is whole: free some room, then resume it with pgpc train --resume ${run}`,
    { cause: error },
  );
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6)} MB`;
}
