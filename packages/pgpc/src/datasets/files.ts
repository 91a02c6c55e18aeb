// Finding the files of a dataset folder, in an order that is the same on every machine.
import { readdir, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { DatasetError } from './types.js';

/**
 * Lists the files under `folder` whose name ends in `suffix`, as paths relative to it with '/' separators and
 * without the suffix, sorted by UTF-16 code unit. Links are followed; names that begin with '.' are skipped.
 * @param what what the folder should hold, for the messages, such as 'GTA5 images'
 * @throws {DatasetError} when the folder is missing, holds no such file, or a link in it leads in a circle
 */
export async function listFiles(folder: string, suffix: string, what: string): Promise<string[]> {
  const found: string[] = [];
  await walk(folder, '', [], suffix, what, found);
  if (found.length === 0) {
    throw new DatasetError(
      `${folder}: no ${what} here (no file ends in ${suffix}); check the dataset's root and whether it was unpacked completely`,
    );
  }
  return found.sort();
}

async function walk(
  folder: string,
  prefix: string,
  ancestors: readonly string[],
  suffix: string,
  what: string,
  found: string[],
): Promise<void> {
  const resolved = await explain(folder, what, () => realpath(folder));
  if (ancestors.includes(resolved)) {
    throw new DatasetError(
      `${folder}: symlink loop (it leads back to ${resolved}, a folder above it); remove the link`,
    );
  }
  const chain = [...ancestors, resolved];
  const entries = await explain(folder, what, () => readdir(folder, { withFileTypes: true }));
  for (const entry of entries) {
    if (entry.name.startsWith('.')) continue;
    const full = path.join(folder, entry.name);
    const info = entry.isSymbolicLink() ? await explain(full, what, () => stat(full)) : entry;
    if (info.isDirectory()) {
      await walk(full, `${prefix}${entry.name}/`, chain, suffix, what, found);
    } else if (info.isFile() && entry.name.endsWith(suffix)) {
      found.push(prefix + entry.name.slice(0, -suffix.length));
    }
  }
}

async function explain<T>(where: string, what: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw new DatasetError(`${where}: ${reason((error as NodeJS.ErrnoException).code, what)}`, {
      cause: error,
    });
  }
}

function reason(code: string | undefined, what: string): string {
  switch (code) {
    case 'ENOENT':
      return `not found, or a link to nothing; ${what} should be here`;
    case 'ELOOP':
      return 'symlink loop (links that only lead to each other); remove the link';
    case 'ENOTDIR':
      return `is a file; a folder of ${what} should be here`;
    default:
      return `cannot be read (${code ?? 'unknown error'}); ${what} should be here`;
  }
}

/** Whether `folder` exists and is a folder. */
export async function isFolder(folder: string): Promise<boolean> {
  return stat(folder).then(
    (info) => info.isDirectory(),
    () => false,
  );
}
