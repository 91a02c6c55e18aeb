// Writing a weights file: whole or not at all, and tensors as their bytes.
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Tensor, tidy } from '../tensor.js';

const CHUNK_BYTES = 1 << 26;

/**
 * Gives a file its name only when its bytes are complete and on disk: they go to a temporary file beside it, which is
 * then renamed. @throws what `write` throws, and the system's error, with `path` in it, where the disk refuses; `path` is left
 * as it was.
 */
export function writeWhole(path: string, write: (fd: number) => void): void {
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`;
  const fd = openSync(temporary, 'wx');
  try {
    try {
      write(fd);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
    flushFolder(dirname(path));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw naming(path, error);
  }
}

/** That of a full disk names no file by itself. */
function naming(path: string, error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (!(error instanceof Error) || code === undefined || message.includes(path)) return error;
  return Object.assign(new Error(`${path}: ${message}`, { cause: error }), { code });
}

/** A rename is in the folder, which has to reach the disk, too. */
function flushFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
}

/** The elements' bytes in row-major order, in parts of at most 64 MiB; of any device, of views all that they show. */
export function eachChunk(tensor: Tensor, use: (bytes: Uint8Array) => void): void {
  if (tensor.numel === 0) return;
  tidy(() => {
    const bytes = tensor.detach().contiguous().reshape([-1]).view('uint8');
    for (let start = 0; start < bytes.numel; start += CHUNK_BYTES) {
      tidy(() => {
        const length = Math.min(CHUNK_BYTES, bytes.numel - start);
        use(bytes.narrow(0, start, length).toArray() as Uint8Array);
      });
    }
  });
}
