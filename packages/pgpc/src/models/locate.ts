// The file of a saved network: of a run directory its last or best checkpoint, of a checkpoint folder the model in it.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseJson } from '@pgpc/datasets';
import { MODEL_FILE } from './model-file.js';
import { weightsFileOf } from './weights/files.js';

/** Folder of a run's checkpoint that is best by the score without labels. */
const BEST = 'best';

export interface LocateOptions {
  /** Of a run directory the checkpoint that is best by the score without labels, instead of the last. */
  readonly best?: boolean | undefined;
}

/**
 * The file of a network by a path: a file as it is; of a checkpoint folder, or a folder as HuggingFace's libraries write
 * it, the weights in it; of a run directory the last checkpoint of its training.
 * @throws Error that says what there is, where that is not one checkpoint
 */
export function locateModel(path: string, { best = false }: LocateOptions = {}): string {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) throw new Error(`${path}: there is no such file or folder`);
  const isRun = stats.isDirectory() && existsSync(join(path, 'run.json'));
  if (isRun) return checkpointOfRun(path, best);
  if (best) {
    throw new Error(`${path}: the best checkpoint is chosen within a run directory, and this is none`);
  }
  if (!stats.isDirectory()) return path;
  try {
    return weightsFileOf(path);
  } catch (error) {
    if (readdirSync(path).some((name) => /\.(safetensors|bin|pth|pt|ckpt)$/.test(name))) throw error;
    throw new Error(`${path}: neither a run directory nor a folder with ${MODEL_FILE}${runsIn(path)}`);
  }
}

/** The runs in a folder of runs, as advice. */
function runsIn(path: string): string {
  const runs = readdirSync(path).filter((name) => existsSync(join(path, name, 'run.json')));
  return runs.length === 0 ? '' : `; it has runs: ${runs.map((name) => join(path, name)).join(', ')}`;
}

function checkpointOfRun(run: string, best: boolean): string {
  const folder = join(run, 'checkpoints');
  const fileIn = (name: string) => join(folder, name, MODEL_FILE);
  const kept = existsSync(folder) ? readdirSync(folder).filter((name) => existsSync(fileIn(name))) : [];
  const last = kept.filter((name) => name !== BEST);
  const phase = phaseOf(run);
  const chosen = best
    ? kept.find((name) => name === BEST)
    : (last.find((name) => name === phase) ?? (last.length === 1 ? last[0] : undefined));
  if (chosen !== undefined) return fileIn(chosen);
  const there = kept.map((name) => join(folder, name)).join(', ');
  if (kept.length === 0) throw new Error(`${run}: this run has no checkpoint yet`);
  throw new Error(
    best
      ? `${run}: this run has kept no best checkpoint; it has ${there}`
      : `${run}: this run has several checkpoints; name one of ${there}`,
  );
}

/** What the run trains, by which its checkpoint is called; undefined for runs of several trainings. */
function phaseOf(run: string): string | undefined {
  const file = join(run, 'run.json');
  try {
    const { config } = parseJson(readFileSync(file, 'utf8')) as { config?: { phase?: unknown } };
    return typeof config?.phase === 'string' ? config.phase : undefined;
  } catch (error) {
    throw new Error(`${file}: cannot be read: ${(error as Error).message}`);
  }
}
