// Writing a weights file: whole or not at all, and tensors as their bytes.
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { itemSize } from '../dtype.js';
import { attempt } from '../errors.js';
import { native } from '../native.js';
import { liveHandle, type Tensor, tidy } from '../tensor.js';

/** So few that they are still in the processor's cache when they are written. */
const CHUNK_BYTES = 1 << 20;
/** One for all tensors: arrays of their own would be as much garbage as a checkpoint has bytes. */
const chunk = new Uint8Array(CHUNK_BYTES);

/**
 * Gives a file its name only when its bytes are complete and on disk: they go to a temporary file beside it, which is
 * then renamed. @throws what `write` throws, and the system's error, with `path` in it, where the disk refuses; `path` is left
 * as it was.
 * @param write may read from the file, too
 */
export function writeWhole(path: string, write: (fd: number) => void): void {
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`;
  const fd = openSync(temporary, 'wx+');
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

/**
 * The elements' bytes in row-major order, in parts of at most 1 MiB; of any device, of views all that they show.
 * @param use is done with a part when it returns: the next one is in the same memory.
 */
export function eachChunk(tensor: Tensor, use: (bytes: Uint8Array) => void): void {
  const size = itemSize(tensor.dtype);
  const most = CHUNK_BYTES / size;
  const give = (part: Tensor) => {
    const bytes = chunk.subarray(0, part.numel * size);
    attempt('copyTo', [part], () => native.copyTo(liveHandle(part), bytes));
    use(bytes);
  };
  if (tensor.numel === 0) return;
  if (tensor.numel <= most) {
    give(tensor);
    return;
  }
  tidy(() => {
    const elements = tensor.detach().reshape([-1]);
    for (let start = 0; start < elements.numel; start += most) {
      tidy(() => give(elements.narrow(0, start, Math.min(most, elements.numel - start))));
    }
  });
}
