// What lies beside weights, and which file holds them where a folder is named. Without libtorch, as fetching needs none.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** File names that are looked for in a folder, in this order. */
const USUAL = [
  'model.safetensors',
  'model.safetensors.index.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
];
const WEIGHTS = /\.(safetensors|bin|pth|pt|ckpt)$/;
const INDEX = /\.index\.json$/;

/**
 * The weights file of a path: itself, or of a folder the one in it.
 * @throws Error for a folder without weights, or with several and none of a usual name
 */
export function weightsFileOf(path: string): string {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return path;
  const files = readdirSync(path).sort();
  const usual = USUAL.find((name) => files.includes(name));
  if (usual !== undefined) return join(path, usual);
  const indexes = files.filter((name) => INDEX.test(name));
  const candidates = indexes.length > 0 ? indexes : files.filter((name) => WEIGHTS.test(name));
  if (candidates.length === 1) return join(path, candidates[0]!);
  if (candidates.length === 0 && files.includes('run.json')) {
    throw new Error(`${path}: a run directory; name one of the folders in its checkpoints/`);
  }
  throw new Error(
    candidates.length === 0
      ? `${path}: a folder without weights (looked for: ${USUAL.join(', ')}, *.safetensors, *.pth)`
      : `${path}: a folder with ${candidates.length} weights files: name one of ${candidates.slice(0, 6).join(', ')}${candidates.length > 6 ? ', ...' : ''}`,
  );
}

/** HuggingFace's configuration of the weights in a folder. */
export const CONFIG = 'config.json';

/** The configuration of one of several weights files in a folder: `NAME.config.json`. */
export function configOf(weights: string): string {
  return `${weights.replace(/(\.index\.json|\.\w+)$/, '')}.${CONFIG}`;
}

/** The file names that an index of shards has. @throws Error for an index that is none, or that reaches out of its folder */
export function shardsOf(index: string): string[] {
  let map: unknown;
  try {
    map = (JSON.parse(readFileSync(index, 'utf8')) as { weight_map?: unknown }).weight_map;
  } catch (error) {
    throw new Error(`${index} cannot be read: ${(error as Error).message}; delete it to fetch it anew`);
  }
  const names = [...new Set(Object.values(map ?? {}))];
  if (
    names.length === 0 ||
    names.some((name) => typeof name !== 'string' || !/^[^/\\]*[^/\\.]$/.test(name))
  ) {
    throw new Error(`${index} is no index of shards beside it; delete it to fetch it anew`);
  }
  return names as string[];
}
