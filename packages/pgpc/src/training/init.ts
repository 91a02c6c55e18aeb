// A whole trained network that a training starts from: found, described and compared before data is trained on.

import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { ClassInfo } from '@pgpc/datasets';
import { tidy } from '@pgpc/torch';
import { type SegmentorConfig, sameNetwork } from '../config/segmentor.js';
import { UsageError } from '../config/usage-error.js';
import { MODEL_FILE } from '../models/checkpoint.js';
import { describedConfig, openWeights } from '../models/weights/fit.js';
import { openRun } from './run-directory/open-run.js';

/**
 * The file of a network: the path itself, that in a checkpoint folder, or the last checkpoint of a run directory.
 * @throws Error for a folder without one.
 */
export function networkFile(path: string): string {
  if (!statSync(path).isDirectory()) return path;
  if (existsSync(join(path, MODEL_FILE))) return join(path, MODEL_FILE);
  if (existsSync(join(path, 'run.json'))) {
    const { phase } = openRun(path).info.config;
    const file = join(path, 'checkpoints', String(phase), MODEL_FILE);
    if (existsSync(file)) return file;
    const folder = join(path, 'checkpoints');
    const kept = existsSync(folder) ? readdirSync(folder).filter((name) => name !== 'best') : [];
    const choice = kept.length > 0 ? `; name one of its folders in checkpoints/: ${kept.join(', ')}` : '';
    throw new Error(`${path}: this run has no checkpoint of a training of its own${choice}`);
  }
  throw new Error(`${path}: neither a run directory nor a folder with ${MODEL_FILE}`);
}

/** What a network file says of itself. */
export interface DescribedNetwork {
  config: SegmentorConfig;
  /** Names of its classes, where it has them. */
  classes: readonly string[] | undefined;
}

/** @throws Error naming the file, if it holds no network of this project's. */
export function describeNetworkFile(file: string): DescribedNetwork {
  return tidy(() => {
    const weights = openWeights(file);
    return { config: describedConfig(weights), classes: classNames(weights.metadata.classes) };
  });
}

function classNames(text: string | undefined): string[] | undefined {
  if (text === undefined) return undefined;
  const listed: unknown = JSON.parse(text);
  return Array.isArray(listed) ? listed.map((info) => String((info as { name?: unknown }).name)) : undefined;
}

/**
 * @param config of the network to be trained, on these classes.
 * @throws UsageError that names every difference.
 */
export function refuseOtherNetwork(
  file: string,
  theirs: DescribedNetwork,
  config: SegmentorConfig,
  classes: readonly Pick<ClassInfo, 'name'>[],
): void {
  const differences: string[] = [];
  if (!sameNetwork(theirs.config, config)) {
    differences.push(`its network is ${described(theirs.config)}, the training's ${described(config)}`);
  }
  const names = classes.map(({ name }) => name);
  if (theirs.config.classes !== names.length) {
    differences.push(
      `it has ${theirs.config.classes} classes, the source ${names.length} (${names.join(', ')})`,
    );
  } else {
    const other = names.flatMap((name, i) => {
      const before = theirs.classes?.[i] ?? name;
      return before === name ? [] : [`class ${i} is ${before} in it and ${name} in the source`];
    });
    differences.push(...other.slice(0, 3));
    if (other.length > 3) differences.push(`and ${other.length - 3} more classes differ`);
  }
  if (differences.length > 0) throw new UsageError(`--init ${file}: ${differences.join('; ')}`);
}

function described({ backbone, head, channels }: SegmentorConfig): string {
  return `${backbone} with the ${head} head of ${channels} channels`;
}
