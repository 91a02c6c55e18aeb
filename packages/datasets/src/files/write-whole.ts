// Files that are replaced as a whole: at any moment such a file is the old one or the new one, also after a power cut.
import { randomUUID } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { open, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

/** In the same folder, so that a rename replaces the file at once. */
const temporaryOf = (file: string) => `${file}.${randomUUID().slice(0, 8)}.tmp`;
const NEW_AND_FLUSHED = { flag: 'wx', flush: true } as const;

/** The system's error of a file; that of a full disk names none by itself. */
export function naming(file: string, error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (!(error instanceof Error) || code === undefined || message.includes(file)) return error;
  return Object.assign(new Error(`${file}: ${message}`, { cause: error }), { code });
}

/** Writes `content` in place of `file`, whose folder has to be there. @throws the system's error; `file` is as it was */
export async function writeWhole(file: string, content: string | Uint8Array): Promise<void> {
  const temporary = temporaryOf(file);
  try {
    await writeFile(temporary, content, NEW_AND_FLUSHED);
    await rename(temporary, file);
    await flushFolder(path.dirname(file));
  } catch (error) {
    await rm(temporary, { force: true });
    throw naming(file, error);
  }
}

/** {@link writeWhole}, synchronously. */
export function writeWholeSync(file: string, content: string | Uint8Array): void {
  const temporary = temporaryOf(file);
  try {
    writeFileSync(temporary, content, NEW_AND_FLUSHED);
    renameSync(temporary, file);
    flushFolderSync(path.dirname(file));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw naming(file, error);
  }
}

/** A rename is in the folder, which has to reach the disk, too. */
async function flushFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** {@link flushFolder}, synchronously. */
export function flushFolderSync(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Writes `value` as indented JSON, see {@link writeWholeSync}. */
export function writeJson(file: string, value: unknown): void {
  writeWholeSync(file, `${JSON.stringify(value, null, 2)}\n`);
}
