// Annotations that are no masks: polygons and boxes in texts, JSON and XML, which are named where masks are missing.
import { open, readdir } from 'node:fs/promises';
import path from 'node:path';
import { DatasetError, type FaultKind } from '../errors.js';
import { foldersIn } from './own-layout.js';

/** Files that are looked into. */
const MOST_READ = 20;

/** Kinds of faults of what is not there. */
const ABSENT: readonly (FaultKind | undefined)[] = ['empty', 'missing', 'definition'];

/** By the ending of the file: what its beginning shows, and whose it is. */
const KINDS: Readonly<Record<string, readonly (readonly [RegExp, string])[]>> = {
  '.txt': [[/^\d+( -?\d*\.?\d+){4,}\s*$/m, 'YOLO']],
  '.json': [
    [/"shapes"\s*:/, 'labelme'],
    [/"_via_|"regions"\s*:/, 'VIA'],
    [/"(categories|annotations|images)"\s*:\s*\[/, 'COCO'],
  ],
  '.xml': [
    [/<annotations>|<image\s/, 'CVAT'],
    [/<annotation[\s>]/, 'VOC'],
  ],
};

/**
 * Looks for polygons and boxes in a folder and, two levels down, in its folders.
 * @returns what was found and what to do, as the end of a message; '' where there is nothing of the kind
 */
export async function otherAnnotations(root: string): Promise<string> {
  let left = MOST_READ;
  const folders = [root];
  for (const level of [0, 1]) {
    for (const folder of level === 0 ? [root] : folders.slice(1, MOST_READ)) {
      folders.push(...(await foldersIn(folder)).map((name) => path.join(folder, name)));
    }
  }
  for (const folder of folders.slice(0, MOST_READ)) {
    for (const name of (await readdir(folder).catch(() => [])).sort()) {
      const kinds = KINDS[path.extname(name).toLowerCase()];
      if (kinds === undefined || name.startsWith('.')) continue;
      if (left-- === 0) return '';
      const start = await beginningOf(path.join(folder, name));
      const whose = kinds.find(([shows]) => shows.test(start))?.[1];
      if (whose === undefined) continue;
      return `; ${path.relative(root, path.join(folder, name))} holds polygons or boxes of ${whose}'s format, which are not read: export masks as PNG files, such as CVAT's "Segmentation mask 1.1"`;
    }
  }
  return '';
}

/** Adds to the error of an action that finds no masks what annotations there are instead. */
export async function namingOthers<T>(root: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof DatasetError) || !ABSENT.includes(error.kind)) throw error;
    const { kind, file = root, message } = error;
    const hint = await otherAnnotations(root);
    throw hint === '' ? error : new DatasetError(message + hint, { kind, file, cause: error });
  }
}

async function beginningOf(file: string): Promise<string> {
  try {
    const handle = await open(file);
    try {
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(2 ** 16), 0, 2 ** 16, 0);
      return buffer.subarray(0, bytesRead).toString('latin1');
    } finally {
      await handle.close();
    }
  } catch {
    return '';
  }
}
