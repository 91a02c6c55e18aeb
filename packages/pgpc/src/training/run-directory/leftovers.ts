// What writes that were killed leave in a run directory.

import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { NEXT_FILE } from '../checkpoint-names.js';

/** As files are called until they are whole. */
const TEMPORARY = /\.(\d+-)?[0-9a-f]{8}\.tmp$/;

export function isLeftover(name: string): boolean {
  return TEMPORARY.test(name) || name === NEXT_FILE;
}

/** Removes them in all folders of a run that nobody writes. */
export function removeLeftovers(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true, recursive: true })) {
    if (entry.isFile() && isLeftover(entry.name))
      rmSync(path.join(entry.parentPath, entry.name), { force: true });
  }
}
