// The file that holds the weights, where a folder is named: as HuggingFace's libraries and this project write them.

import { readdirSync, statSync } from 'node:fs';
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
 * @throws Error for a folder without weights, or with several of which none has a usual name
 */
export function weightsFileOf(path: string): string {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return path;
  const files = readdirSync(path).sort();
  const usual = USUAL.find((name) => files.includes(name));
  if (usual !== undefined) return join(path, usual);
  const indexes = files.filter((name) => INDEX.test(name));
  const candidates = indexes.length > 0 ? indexes : files.filter((name) => WEIGHTS.test(name));
  if (candidates.length === 1) return join(path, candidates[0]!);
  throw new Error(
    candidates.length === 0
      ? `${path}: a folder without weights (looked for: ${USUAL.join(', ')}, *.safetensors, *.pth)`
      : `${path}: a folder with ${candidates.length} weights files: name one of ${candidates.slice(0, 6).join(', ')}${candidates.length > 6 ? ', ...' : ''}`,
  );
}
