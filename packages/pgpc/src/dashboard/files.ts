// Files that may be read: inside of their folder, also once every link is followed.

import { closeSync, fstatSync, openSync, readSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';

/**
 * The real path of a file of a folder.
 * @param name relative to the folder. @returns undefined where there is none.
 * @throws Error if it is outside of the folder, by its name or by a link.
 */
export function fileWithin(folder: string, name: string): string | undefined {
  const file = path.join(folder, name);
  let real: string;
  try {
    real = realpathSync(file);
  } catch {
    return undefined;
  }
  if (!isWithin(realpathSync(folder), real)) {
    throw new Error(`${file} leads out of ${folder}: it is not read`);
  }
  return real;
}

/** Whether a path is below a folder, both without links. */
export function isWithin(folder: string, file: string): boolean {
  const relative = path.relative(folder, file);
  return (
    relative !== '' &&
    relative !== '..' &&
    !relative.startsWith(`..${path.sep}`) &&
    !path.isAbsolute(relative)
  );
}

/** What tells one state of a file from another; undefined where there is none. */
export function stateOf(file: string | undefined): { stamp: string; written: number } | undefined {
  const stat = file === undefined ? undefined : statSync(file, { throwIfNoEntry: false });
  if (!stat?.isFile()) return undefined;
  return { stamp: `${stat.ino}:${stat.size}:${stat.mtimeMs}`, written: stat.mtimeMs };
}

/** The bytes of a file from an offset to its end as it is now, and which file that is. */
export function readFrom(
  file: string,
  offset: (stat: { size: number; ino: number }) => number,
): { bytes: Buffer; start: number } {
  const handle = openSync(file, 'r');
  try {
    const { size, ino } = fstatSync(handle);
    const start = offset({ size, ino });
    const bytes = Buffer.alloc(Math.max(0, size - start));
    let length = 0;
    while (length < bytes.length) {
      const read = readSync(handle, bytes, length, bytes.length - length, start + length);
      if (read === 0) break;
      length += read;
    }
    return { bytes: bytes.subarray(0, length), start };
  } finally {
    closeSync(handle);
  }
}
