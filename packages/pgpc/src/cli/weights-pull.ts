// `pgpc weights pull` at work: fetches a file, shows the progress, and says what to do where there is no network.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type CatalogEntry, findCatalogEntry } from '../models/weights/catalog.js';
import { ConnectionError, type Downloaded, download, HttpStatusError } from '../models/weights/download.js';
import { configOf, shardsOf } from '../models/weights/files.js';
import type { CommandIo } from './io.js';
import type { Tell } from './output/json.js';
import { type Progress, progress } from './output/progress.js';

export interface PullWeightsOptions {
  /** One of the catalog, or owner/repository. */
  readonly name: string;
  /** Origin in place of the publisher's. */
  readonly hub: string | undefined;
  readonly out: string;
  readonly sha256: string | undefined;
}

/**
 * Fetches weights by name.
 * @param tell is told what was fetched, for JSON.
 * @throws Error in one line, with the address and the place for doing it by hand where there is no connection
 */
export async function pullWeights(options: PullWeightsOptions, own: CommandIo, tell: Tell): Promise<void> {
  const entry = findCatalogEntry(options.name)!;
  const files: object[] = [];
  tell({ name: entry.name, licence: entry.licence, files });
  const io: PullIo = {
    ...own,
    tell,
    fetched: (path, result) => {
      files.push({ file: path, ...result });
      own.stdout.write(fetched(path, result));
    },
  };
  io.stdout.write(`${entry.name}: licence: ${entry.licence.text} (${entry.licence.url})\n`);
  const there = entry.sources.map(({ file }) => join(options.out, file)).find((path) => existsSync(path));
  if (there !== undefined) {
    if (await fetchShards(there, entry, options, io)) return;
    tell({ there });
    io.stdout.write(`${there} is there already; delete it to fetch it anew\n`);
    return;
  }
  const { path, result } = await fetchFirst(entry, options, io);
  io.fetched(path, result);
  await fetchShards(path, entry, options, io);
  await fetchConfig(path, entry, options, io);
}

/** A command's surroundings, with what is to be done once a file of weights is there. */
interface PullIo extends CommandIo {
  readonly fetched: (path: string, result: Downloaded) => void;
  readonly tell: Tell;
}

function fetched(path: string, { bytes, sha256, checkedAgainst, resumedFrom }: Downloaded): string {
  const checked = checkedAgainst
    ? `agrees with ${checkedAgainst}`
    : 'not checked: the server gives none; compare it, or give --sha256';
  const resumed = resumedFrom > 0 ? `, ${megabytes(resumedFrom)} of them from an earlier try` : '';
  return `${path}: ${megabytes(bytes)}${resumed}; SHA-256 ${sha256} (${checked})\n`;
}

/** Fetches what an index names and is not there yet. @returns whether there was anything to fetch */
async function fetchShards(
  index: string,
  entry: CatalogEntry,
  { name, hub = entry.hub }: PullWeightsOptions,
  io: PullIo,
): Promise<boolean> {
  if (!index.endsWith('.index.json')) return false;
  const source = entry.sources.find(({ file }) => index.endsWith(file))!;
  const missing = shardsOf(index).filter((shard) => !existsSync(join(dirname(index), shard)));
  for (const [i, shard] of missing.entries()) {
    const path = join(dirname(index), shard);
    const url = `${hub}/${dirname(source.path)}/${shard}`;
    const bar = new MegabyteBar(`${name} ${i + 1}/${missing.length}`, io);
    try {
      const { signal } = io;
      io.fetched(path, await download({ url, path, signal, onProgress: bar.update.bind(bar) }));
    } catch (error) {
      throw new Error(`${(error as Error).message}; pull again to fetch what is missing`, { cause: error });
    } finally {
      bar.done();
    }
  }
  return missing.length > 0;
}

const MOST_CONFIG_BYTES = 2 ** 22;

/** Names of the classes are in the configuration; weights without one are of use, too. */
async function fetchConfig(
  weights: string,
  { config, hub: own }: CatalogEntry,
  { hub = own }: PullWeightsOptions,
  { stdout, signal, tell }: PullIo,
): Promise<void> {
  if (config === undefined) return;
  const path = configOf(weights);
  try {
    await download({ url: `${hub}/${config}`, path, signal, most: MOST_CONFIG_BYTES });
    tell({ config: path });
    stdout.write(`${path}: its configuration, with the names of its classes\n`);
  } catch (error) {
    signal.throwIfAborted();
    stdout.write(`no configuration: ${(error as Error).message}; the weights' classes have no names\n`);
  }
}

async function fetchFirst(
  entry: CatalogEntry,
  { name, hub = entry.hub, out, sha256 }: PullWeightsOptions,
  io: CommandIo,
): Promise<{ path: string; result: Downloaded }> {
  for (const [index, source] of entry.sources.entries()) {
    const url = `${hub}/${source.path}`;
    const path = join(out, source.file);
    const byHand = `by hand: fetch ${url} on another machine, place it as ${path}, and --weights ${name} finds it`;
    const bar = new MegabyteBar(name, io);
    try {
      const { signal } = io;
      const onProgress = bar.update.bind(bar);
      const result = await download({ url, path, sha256, signal, onProgress });
      bar.done();
      return { path, result };
    } catch (error) {
      bar.done();
      if (error instanceof ConnectionError) throw new Error(`${error.message}; ${byHand}`);
      if (!(error instanceof HttpStatusError)) throw error;
      if (error.status === 404 && index + 1 < entry.sources.length) continue;
      throw new Error(`${error.message}${explained(error.status)}; ${byHand}`);
    }
  }
  throw new Error(`${name} has no source`);
}

function explained(status: number): string {
  if (status === 401 || status === 403) return ' (no such repository, or one that asks for an account)';
  return status === 404 ? ' (the hub has no such file)' : '';
}

function megabytes(bytes: number): string {
  return bytes < 1e6 ? `${bytes} bytes` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** A bar in megabytes, from when the size is known. */
class MegabyteBar {
  #bar: Progress | undefined;

  constructor(
    readonly name: string,
    readonly io: CommandIo,
  ) {}

  update(done: number, total: number | undefined): void {
    if (total === undefined) return;
    this.#bar ??= progress({
      label: `pull ${this.name}`,
      total: Math.max(1, Math.round(total / 1e6)),
      start: Math.floor(done / 1e6),
      stream: this.io.stderr,
      unit: 'MB',
    });
    this.#bar.update(Math.floor(done / 1e6));
  }

  done(): void {
    this.#bar?.done();
  }
}
