// What is known of a dataset's files from earlier, kept beside the dataset.
import { createHash } from 'node:crypto';
import { access, constants, mkdir, readFile, realpath } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import { parseJson } from './json-text.js';
import { writeWhole } from './write-whole.js';

/**
 * One entry for each file of a dataset, in a JSON file in `.pgpc` in the dataset's root, or in the user's cache folder
 * where the root cannot be written to. Entries of files that are not asked for stay.
 */
export class FileCache<T> {
  private changed = false;

  private constructor(
    private readonly root: string,
    private readonly file: string,
    private readonly entries: Map<string, T>,
  ) {}

  /** @param name of the cache. @param entry what an entry looks like; a cache of another form is begun anew. */
  static async open<T>(root: string, name: string, entry: z.ZodType<T>): Promise<FileCache<T>> {
    const file = path.join(await cacheFolder(root), `${name}.json`);
    const schema = z.object({ version: z.literal(1), files: z.record(z.string(), entry) });
    try {
      const { files } = schema.parse(parseJson(await readFile(file, 'utf8')));
      return new FileCache(root, file, new Map(Object.entries(files)));
    } catch {
      return new FileCache(root, file, new Map());
    }
  }

  get(file: string): T | undefined {
    return this.entries.get(this.key(file));
  }

  set(file: string, entry: T): void {
    this.entries.set(this.key(file), entry);
    this.changed = true;
  }

  /** Writes the entries, if one is new, all at once: a reader never sees half of them. */
  async save(): Promise<void> {
    if (!this.changed) return;
    await writeWhole(this.file, JSON.stringify({ version: 1, files: Object.fromEntries(this.entries) }));
    this.changed = false;
  }

  private key(file: string): string {
    return path.relative(this.root, file).replaceAll(path.sep, '/');
  }
}

async function cacheFolder(root: string): Promise<string> {
  const beside = path.join(root, '.pgpc');
  try {
    await mkdir(beside, { recursive: true });
    await access(beside, constants.W_OK);
    return beside;
  } catch {
    const name = createHash('sha256')
      .update(await realpath(root))
      .digest('hex')
      .slice(0, 16);
    const base = process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache');
    const folder = path.join(base, 'pgpc', name);
    await mkdir(folder, { recursive: true });
    return folder;
  }
}
