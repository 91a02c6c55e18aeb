// A disk that is full from some write on: that one comes half through, and it and all that follow fail. And a small one.

import fs from 'node:fs';
import fsPromises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

function full(): Error {
  return Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', errno: -28 });
}

/** Makes the disk of `folder` full from write number `from` on, counted from 0, until it is disposed. */
export class FullDisk {
  /** Writes so far, the failed ones among them. */
  writes = 0;
  readonly #files = new Set<number>();
  /** Node writes a whole file by the function that writes a part. */
  #isWhole = false;
  readonly #undo: (() => void)[] = [];

  constructor(
    readonly folder: string,
    readonly from: number,
  ) {
    const { writeSync, openSync, closeSync, writeFileSync, appendFileSync } = fs;
    const { writeFile } = fsPromises;
    this.#replace(fs, 'openSync', ((...args: Parameters<typeof openSync>) => {
      const fd = openSync(...args);
      if (this.#has(args[0])) this.#files.add(fd);
      return fd;
    }) as typeof openSync);
    this.#replace(fs, 'closeSync', (fd: number) => {
      this.#files.delete(fd);
      closeSync(fd);
    });
    const write = (fd: number, data: Uint8Array | string, ...rest: never[]) => {
      if (!this.#isWhole && this.#files.has(fd) && this.#isFull()) {
        writeSync(fd, data.slice(0, data.length >> 1) as string, ...rest);
        throw full();
      }
      return writeSync(fd, data as string, ...rest);
    };
    this.#replace(fs, 'writeSync', write as typeof writeSync);
    // What is written is text or bytes, whatever else the system takes.
    const half = (data: unknown) => (data as Buffer).slice(0, (data as Buffer).length >> 1);
    const whole =
      (original: typeof writeFileSync) =>
      (...[file, data, options]: Parameters<typeof writeFileSync>): void => {
        const fails = this.#has(file) && this.#isFull();
        this.#isWhole = true;
        try {
          original(file, fails ? half(data) : data, options);
        } finally {
          this.#isWhole = false;
        }
        if (fails) throw full();
      };
    this.#replace(fs, 'writeFileSync', whole(writeFileSync));
    this.#replace(
      fs,
      'appendFileSync',
      whole(appendFileSync as typeof writeFileSync) as typeof appendFileSync,
    );
    this.#replace(fsPromises, 'writeFile', async (file, data, options) => {
      if (!this.#has(file) || !this.#isFull()) return writeFile(file, data, options);
      await writeFile(file, half(data), options);
      throw full();
    });
    syncBuiltinESMExports();
  }

  [Symbol.dispose](): void {
    for (const undo of this.#undo) undo();
    syncBuiltinESMExports();
  }

  #has(file: unknown): boolean {
    return String(file).startsWith(this.folder);
  }

  #isFull(): boolean {
    return this.writes++ >= this.from;
  }

  #replace<M extends object, K extends keyof M>(module: M, name: K, replacement: M[K]): void {
    const original = module[name];
    this.#undo.push(() => {
      module[name] = original;
    });
    module[name] = replacement;
  }
}

/** Every disk has so many bytes free, until this is disposed. */
export class SmallDisk {
  readonly #statfs = fs.statfsSync;

  constructor(free: number) {
    const bsize = 4096;
    fs.statfsSync = ((folder: string) => ({
      ...this.#statfs(folder),
      bavail: Math.floor(free / bsize),
      bsize,
    })) as typeof fs.statfsSync;
    syncBuiltinESMExports();
  }

  [Symbol.dispose](): void {
    fs.statfsSync = this.#statfs;
    syncBuiltinESMExports();
  }
}
