// A folder taken for a run before there is anything to write into it: in milliseconds, before data is read.

import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { isLeftover } from './leftovers.js';
import { OWNER_FILE, own } from './owner.js';
import { isRunName, RUN_NAME_RULE } from './run-name.js';

/** What to do when the name is taken: refuse (default), replace that run, or append -2, -3, ... to the name. */
export interface CreateRunOptions {
  readonly overwrite?: boolean | undefined;
  readonly unique?: boolean | undefined;
}

/** A folder that no other run gets. */
export interface RunClaim {
  readonly path: string;
  /** Empties the folder of the run that is replaced; nothing is lost before. */
  clear(): void;
  /** Lets others have the folder, and removes it where nothing has been written into it. */
  release(): void;
}

/**
 * Takes `root/name`.
 * @throws Error if the name is no plain file name, the folder cannot be made, or it exists and is not empty. `overwrite`
 *   takes only a folder that a run has written.
 */
export function claimRun(root: string, name: string, options: CreateRunOptions = {}): RunClaim {
  if (!isRunName(name)) throw new Error(`run name '${name}' is not allowed: use ${RUN_NAME_RULE}`);
  try {
    makeFolder(path.resolve(root));
  } catch (error) {
    throw new Error(
      `${root}: no folder for runs can be made here (${reasonOf(error)}); choose another --out`,
    );
  }
  for (let attempt = 1; ; attempt++) {
    const directory = path.join(root, attempt === 1 ? name : `${name}-${attempt}`);
    // Without `recursive`, mkdir is the lock: of two runs that start at once, one gets the name.
    try {
      mkdirSync(directory);
      return claimed(directory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw new Error(`${directory} cannot be made (${reasonOf(error)}); choose another --out`);
      }
    }
    if (options.unique) continue;
    const entries = entriesOf(directory);
    if (entries.length > 0 && !options.overwrite) {
      throw new Error(`${directory} exists and is not empty: choose another name, or overwrite it`);
    }
    if (entries.length > 0 && !entries.includes('run.json')) {
      throw new Error(`${directory} is not empty and holds no run: not overwriting it`);
    }
    return claimed(directory);
  }
}

/** Node's own way to make folders in folders does not end in /proc. */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  makeFolder(path.dirname(folder));
  try {
    mkdirSync(folder);
  } catch (error) {
    // Another run may have made it.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** What is in a folder, but for what a process that was killed before it wrote anything leaves. */
function entriesOf(directory: string): string[] {
  return readdirSync(directory).filter((name) => name !== OWNER_FILE && !isLeftover(name));
}

/** @throws Error if another process has the folder. */
function claimed(directory: string): RunClaim {
  const ownership = own(directory);
  return {
    path: directory,
    clear: () => {
      for (const entry of readdirSync(directory)) {
        if (entry !== OWNER_FILE) rmSync(path.join(directory, entry), { recursive: true });
      }
    },
    release: () => {
      ownership.release();
      try {
        rmdirSync(directory);
      } catch (error) {
        // Somebody may have removed it, too.
        if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) {
          throw error;
        }
      }
    },
  };
}

function reasonOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}
