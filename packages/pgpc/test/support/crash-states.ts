// A folder as it is before each operation on the files in it: what a process that dies at that moment leaves.

import fs, { copyFileSync, readdirSync } from 'node:fs';
import fsPromises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';

const SYNC = [
  'appendFileSync',
  'linkSync',
  'mkdirSync',
  'openSync',
  'renameSync',
  'rmSync',
  'rmdirSync',
  'truncateSync',
  'writeFileSync',
] as const;
const ASYNC = ['appendFile', 'mkdir', 'open', 'rename', 'rm', 'writeFile'] as const;

// As they are before anything is wrapped.
const [link, makeFolder] = [fs.linkSync, fs.mkdirSync];

type Functions = Record<string, (...args: unknown[]) => unknown>;

/** Copies `folder` into `out/0000`, `out/0001`, ... before every operation on something in it, until it is disposed. */
export class CrashStates {
  readonly states: { readonly path: string; readonly operation: string }[] = [];
  readonly #undo: (() => void)[] = [];

  constructor(
    readonly folder: string,
    readonly out: string,
  ) {
    this.#wrap(fs as unknown as Functions, SYNC);
    this.#wrap(fsPromises as unknown as Functions, ASYNC);
    syncBuiltinESMExports();
  }

  [Symbol.dispose](): void {
    for (const undo of this.#undo) undo();
    syncBuiltinESMExports();
  }

  #wrap(module: Functions, names: readonly string[]): void {
    for (const name of names) {
      const original = module[name]!;
      this.#undo.push(() => {
        module[name] = original;
      });
      module[name] = (...args) => {
        const paths = args.slice(0, 2).filter((arg) => typeof arg === 'string');
        const reads = name.startsWith('open') && (args[1] === undefined || args[1] === 'r');
        if (!reads && paths.some((path) => path.startsWith(this.folder)))
          this.#copy(`${name} ${paths.join(' ')}`);
        return original.apply(module, args);
      };
    }
  }

  #copy(operation: string): void {
    const path = join(this.out, String(this.states.length).padStart(4, '0'));
    this.states.push({ path, operation: operation.replaceAll(this.folder, '') });
    if (fs.existsSync(this.folder)) copyFolder(this.folder, path);
  }
}

/** Copies a folder. Files that are only ever replaced as a whole are linked: networks are large. */
export function copyFolder(from: string, to: string): void {
  makeFolder(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, copy] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) copyFolder(source, copy);
    else if (entry.name.endsWith('.safetensors')) link(source, copy);
    else copyFileSync(source, copy);
  }
}
