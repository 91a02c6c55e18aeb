// Weights in several files, with the index.json that HuggingFace's libraries write beside them.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Tensor } from '../tensor.js';
import { walkJson } from './json-walk.js';
import { quoted, WeightsFileError } from './reader.js';
import type { WeightsEntry, WeightsIndex } from './weights-index.js';

const INDEX_SUFFIX = '.index.json';
const SHARD = /^(?<stem>.+)-(?<number>\d{5})-of-(?<count>\d{5})\.(?<suffix>safetensors|bin|pth|pt)$/;
/** Twice that of a network of 100,000 tensors. */
const MOST_INDEX_BYTES = 1 << 24;

export function isShardIndex(path: string): boolean {
  return path.endsWith(INDEX_SUFFIX);
}

/** The index that lies, or would lie, beside a shard of this name; undefined for the name of no shard. */
function indexOfShard(path: string): { index: string; count: number } | undefined {
  const { stem, count, suffix } = SHARD.exec(basename(path))?.groups ?? {};
  if (stem === undefined) return undefined;
  return { index: join(dirname(path), `${stem}.${suffix}${INDEX_SUFFIX}`), count: Number(count) };
}

/** @throws WeightsFileError for a file whose name says that it is one of several */
export function refuseLoneShard(path: string): void {
  const { index, count = 1 } = indexOfShard(path) ?? {};
  if (index === undefined || count === 1) return;
  const where = existsSync(index)
    ? `name the index, ${index}, or its folder`
    : `its index, ${basename(index)}, is not beside it: fetch it and the other shards, and name it or the folder`;
  throw new WeightsFileError(`${path}: one of ${count} shards, not the whole of the weights; ${where}`);
}

/**
 * The shards of an index as one.
 * @param open looks into one shard
 * @throws WeightsFileError for an index that is none, and for files and entries that it names and that are missing
 */
export function indexShards(path: string, open: (shard: string) => WeightsIndex): WeightsIndex {
  const fileOf = readIndex(path);
  const names = [...new Set(fileOf.values())];
  const missing = names.filter((name) => !existsSync(join(dirname(path), name)));
  if (missing.length > 0) {
    throw new WeightsFileError(
      `${path}: ${missing.length} of its ${names.length} shards ${missing.length === 1 ? 'is' : 'are'} missing: ${missing.slice(0, 4).join(', ')}${missing.length > 4 ? ', ...' : ''}`,
    );
  }
  const shards = new Map(names.map((name) => [name, open(join(dirname(path), name))]));
  const entries = new Map<string, WeightsEntry>();
  for (const [name, file] of fileOf) {
    const entry = shards.get(file)!.entries.get(name);
    if (entry === undefined) {
      throw new WeightsFileError(`${path}: tensor ${quoted(name)} is not in ${file}, where the index has it`);
    }
    entries.set(name, entry);
  }
  return {
    entries,
    metadata: Object.assign(Object.create(null), ...[...shards.values()].map(({ metadata }) => metadata)),
    stateDict: '',
    foreign: [...shards.values()].flatMap(({ foreign }) => foreign),
    read: (wanted = fileOf.keys()) => {
      const chosen = new Map<string, string[]>();
      for (const name of wanted)
        chosen.set(fileOf.get(name)!, [...(chosen.get(fileOf.get(name)!) ?? []), name]);
      const tensors = new Map<string, Tensor>();
      try {
        for (const [file, list] of chosen) {
          for (const [name, tensor] of shards.get(file)!.read(list)) tensors.set(name, tensor);
        }
      } catch (error) {
        for (const tensor of tensors.values()) tensor.dispose();
        throw error;
      }
      return tensors;
    },
  };
}

/** Tensors' names to the files that have them. */
function readIndex(path: string): Map<string, string> {
  const fault = (what: string) => new WeightsFileError(`${path}: ${what}`);
  let json: unknown;
  try {
    if (statSync(path).size > MOST_INDEX_BYTES) throw new Error('it is too large');
    const text = readFileSync(path, 'utf8');
    const { excess } = walkJson(text);
    if (excess !== undefined) throw new Error(`it ${excess}`);
    json = JSON.parse(text);
  } catch (error) {
    throw fault(`cannot be read as an index of shards: ${(error as Error).message}`);
  }
  const map = (json as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== 'object' || map === null || Object.keys(map).length === 0) {
    throw fault('no index of shards: it has no weight_map');
  }
  const files = new Map(Object.entries(map as Record<string, unknown>));
  for (const [name, file] of files) {
    // A name with folders could reach outside of the index's own.
    if (typeof file !== 'string' || !/^[^/\\]+$/.test(file) || file === '..') {
      const what = typeof file === 'string' ? quoted(file) : `its ${typeof file}`;
      throw fault(`tensor ${quoted(name)}: ${what} is no file name beside the index`);
    }
  }
  return files as Map<string, string>;
}
