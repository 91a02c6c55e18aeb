// Finding the files of a dataset folder, in an order that is the same on every machine.
import { readdir, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { DatasetError, fault } from '../errors.js';

/** Endings of the image formats that are read, in lower case; files with capital ones are found too. */
export const IMAGE_ENDINGS: readonly string[] = ['.png', '.jpg', '.jpeg', '.webp', '.tif', '.tiff'];

/**
 * Receives what is wrong with single files while a dataset is opened; the other files are still read.
 * Without it the first fault is thrown.
 */
export type OnFault = (fault: DatasetError) => void;

/** What every reader takes. */
export interface ReaderOptions {
  readonly onFault?: OnFault | undefined;
  /** Receives remarks that are no faults, each one line that names the path, such as files that were passed over. */
  readonly onNote?: ((note: string) => void) | undefined;
}

/** Which files {@link listFiles} looks for. */
export interface FileSearch extends ReaderOptions {
  /** What the folder should hold, for the messages, such as 'GTA5 images'. */
  readonly what: string;
  /** Endings of the names, in upper or lower case; the first that fits is cut off. */
  readonly endings: readonly string[];
  /** Ids to pass over. */
  readonly except?: (id: string) => boolean;
}

/**
 * Lists the files under `folder` as a map from id (the path relative to it with '/' separators, without the ending)
 * to path, sorted by UTF-16 code unit of the id. Links are followed; names that begin with '.' are skipped.
 * @throws {DatasetError} when the folder is missing or holds no such file; also, unless there is an `onFault`, when a
 * link in it leads in a circle or to nothing, or two files have the same id
 */
export async function listFiles(folder: string, search: FileSearch): Promise<Map<string, string>> {
  const found: [id: string, file: string][] = [];
  await walk(folder, '', [], search, found);
  if (found.length === 0) {
    throw fault(
      'empty',
      folder,
      `no ${search.what} here (no file ends in ${search.endings.join(', ')}); check the dataset's root and whether it was unpacked completely`,
    );
  }
  found.sort(([a, inA], [b, inB]) => (a === b ? order(inA, inB) : order(a, b)));
  const files = new Map<string, string>();
  for (const [id, file] of found) {
    const other = files.get(id);
    if (other === undefined) files.set(id, file);
    else {
      report(search.onFault, fault('missing-pair', file, `${other} has the same name; remove one of them`));
    }
  }
  return files;
}

const order = (a: string, b: string) => (a < b ? -1 : 1);

/** Hands a fault to `onFault`, or throws it where there is none. */
export function report(onFault: OnFault | undefined, fault: DatasetError): void {
  if (onFault === undefined) throw fault;
  onFault(fault);
}

async function walk(
  folder: string,
  prefix: string,
  ancestors: readonly string[],
  search: FileSearch,
  found: [string, string][],
): Promise<void> {
  const resolved = await explain(folder, search.what, () => realpath(folder));
  if (ancestors.some((folder) => `${folder}${path.sep}`.startsWith(`${resolved}${path.sep}`))) {
    throw fault(
      'symlink-loop',
      folder,
      `symlink loop (it leads back to ${resolved}, a folder above it); remove the link`,
    );
  }
  const chain = [...ancestors, resolved];
  const entries = await explain(folder, search.what, () => readdir(folder, { withFileTypes: true }));
  for (const entry of entries) {
    if (entry.name.startsWith('.')) continue;
    const full = path.join(folder, entry.name);
    try {
      const info = entry.isSymbolicLink() ? await explain(full, search.what, () => stat(full)) : entry;
      if (info.isDirectory()) await walk(full, `${prefix}${entry.name}/`, chain, search, found);
      else if (info.isFile()) {
        const ending = search.endings.find((end) => entry.name.toLowerCase().endsWith(end.toLowerCase()));
        if (ending === undefined) continue;
        const id = prefix + entry.name.slice(0, -ending.length);
        if (!search.except?.(id)) found.push([id, full]);
      }
    } catch (error) {
      if (!(error instanceof DatasetError)) throw error;
      report(search.onFault, error);
    }
  }
}

async function explain<T>(where: string, what: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw fault(code === 'ELOOP' ? 'symlink-loop' : 'missing', where, `${reason(code, what)}`, error);
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

/** Whether `file` exists and is a file. */
export async function isFile(file: string): Promise<boolean> {
  return stat(file).then(
    (info) => info.isFile(),
    () => false,
  );
}
