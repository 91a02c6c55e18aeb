// Finds run directories.

import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import { isWithin } from './files.js';

/** Folders in folders that are looked through: `runs/experiment/seed1/run` and one more. */
const DEPTH = 4;

/** A run directory, by names that people know it by. */
export interface FoundRun {
  /** The path as it was given, or below the folder that was given. */
  readonly id: string;
  /** Without that folder. */
  readonly label: string;
  readonly directory: string;
}

/**
 * The run directories among the paths and in the folders below them, in the order of their names. Links that lead out of a
 * folder that was given are left out, and named.
 */
export function findRuns(roots: readonly string[]): { runs: FoundRun[]; leftOut: string[] } {
  const runs = new Map<string, FoundRun>();
  const leftOut: string[] = [];
  const add = (directory: string, label: string) => {
    const id = path.normalize(directory).split(path.sep).join('/');
    if (!runs.has(id)) runs.set(id, { id, label: label.split(path.sep).join('/'), directory });
  };
  for (const root of roots) {
    if (isRun(root)) {
      add(root, path.basename(path.resolve(root)));
      continue;
    }
    if (!existsSync(root)) continue;
    const real = realpathSync(root);
    const walk = (folder: string, depth: number) => {
      for (const entry of entriesOf(folder)) {
        const inner = path.join(folder, entry.name);
        if (entry.isSymbolicLink()) {
          if (!statSync(inner, { throwIfNoEntry: false })?.isDirectory()) continue;
          if (!isWithin(real, realpathSync(inner))) {
            if (isRun(inner)) leftOut.push(inner);
            continue;
          }
        } else if (!entry.isDirectory()) continue;
        if (isRun(inner)) add(inner, path.relative(root, inner));
        else if (depth < DEPTH) walk(inner, depth + 1);
      }
    };
    walk(root, 1);
  }
  return { runs: [...runs.values()], leftOut };
}

function isRun(folder: string): boolean {
  return existsSync(path.join(folder, 'run.json'));
}

/** A folder may be removed, or not be readable, while others are looked through. */
function entriesOf(folder: string) {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter(({ name }) => !name.startsWith('.'))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch {
    return [];
  }
}
