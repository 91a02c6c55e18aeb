// `pgpc weights pull` at work: fetches a file, shows the progress, and says what to do where there is no network.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type CatalogEntry, findCatalogEntry } from '../models/weights/catalog.js';
import { ConnectionError, type Downloaded, download, HttpStatusError } from '../models/weights/download.js';
import type { CommandIo } from './io.js';
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
 * @throws Error in one line, with the address and the place for doing it by hand where there is no connection
 */
export async function pullWeights(options: PullWeightsOptions, io: CommandIo): Promise<void> {
  const entry = findCatalogEntry(options.name)!;
  io.stdout.write(`${entry.name}: licence: ${entry.licence.text} (${entry.licence.url})\n`);
  const there = entry.sources.map(({ file }) => join(options.out, file)).find((path) => existsSync(path));
  if (there !== undefined) {
    io.stdout.write(`${there} is there already; delete it to fetch it anew\n`);
    return;
  }
  const { path, result } = await fetchFirst(entry, options, io);
  const { bytes, sha256, checkedAgainst, resumedFrom } = result;
  const checked = checkedAgainst
    ? `agrees with ${checkedAgainst}`
    : 'not checked: the server gives none; compare it, or give --sha256';
  const resumed = resumedFrom > 0 ? `, ${megabytes(resumedFrom)} of them from an earlier try` : '';
  io.stdout.write(`${path}: ${megabytes(bytes)}${resumed}; SHA-256 ${sha256} (${checked})\n`);
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
