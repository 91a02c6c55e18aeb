// From a sweep and a choice of seeds and steps to the runs that it takes, each known by what it depends on.

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { STREET_SYNTH_VERSION } from '@pgpc/street-synth';
import type { Experiment } from '../config/experiment.js';
import {
  checkKey,
  hasPlaceFor,
  type Settings,
  withFittingSettings,
  withSettings,
} from '../config/settings.js';
import { loadSegmentor, MODEL_FILE } from '../models/checkpoint.js';
import { locateModel } from '../models/locate.js';
import { shardsOf, weightsFileOf } from '../models/weights/files.js';
import { encoderStart, weightsPath } from '../models/weights/shipped.js';
import { type ScaleName, type StreetSynthPreset, streetSynthPreset } from '../recipes/street-synth.js';
import { folderOf, type RunResult, readResult, seedFolder } from './results.js';
import { type Cell, type Sweep, sweeps } from './sweeps.js';

export interface PlanOptions {
  /** Folder of all runs and tables. */
  out: string;
  /** The preset's size. */
  scale: ScaleName;
  /** Of every run, the source's too; left out: float32. */
  precision?: Experiment['precision'];
  seeds: readonly number[];
  /** Steps on the source, and of each cell, instead of the preset's. */
  sourceSteps?: number | undefined;
  steps?: number | undefined;
  /** Changes to every cell that has the part. Changes of the network and the crops hold for the source and the oracle, too. */
  set: Settings;
  /**
   * Folder with a source's network as `seedK/model.safetensors`, or one network for all seeds, as a run directory, checkpoint
   * or file, instead of training one.
   */
  start?: string | undefined;
  /**
   * What source networks and oracle start their encoder from, as `--weights` takes it; left out: this package's encoder
   * where it fits.
   */
  weights?: string | undefined;
  /** Other data than rendered streets. */
  own?: OwnData | undefined;
}

/** What the runs of a sweep depend on in data that is not rendered. */
export interface OwnData {
  /** Digest of the data. */
  digest: string;
  /** Number of its classes. */
  classes: number;
  /** Whether the target's training images have labels, for the oracle. */
  oracle: boolean;
}

/** The cells of a sweep that the data has what they need for: labels of the target, and more classes than ranks. */
export function cellsOn({ cells }: Sweep, own: OwnData | undefined): readonly Cell[] {
  if (!own) return cells;
  return cells.filter(({ method, settings }) => {
    const rank = settings['method.contrast.rank'];
    return method === 'oracle' ? own.oracle : rank === undefined || Number(rank) < own.classes;
  });
}

/** One training, which several cells and sweeps may share. */
export interface PlannedRun {
  /** Hash of all that the run's weights depend on. */
  key: string;
  /** The readable part of its folder's name. */
  name: string;
  seed: number;
  experiment: Experiment;
  onTarget: boolean;
  /** Folder with the network that it starts from; undefined: none. */
  start: string | undefined;
  /** Name or file of what its encoder starts from; undefined: a whole network, or random weights. */
  weights: string | undefined;
  /** What it starts from, as the result says it. */
  startKey: string | undefined;
  /** The run that trains what it starts from. */
  after: PlannedRun | undefined;
  /** Its place in the sweep's table; undefined: the source's training, which has none. */
  cell: Cell | undefined;
  /** Where it goes, or has gone. */
  folder: string;
}

/** Parts of an experiment that all runs which share a source have in common. */
const SHARED = ['segmentor', 'batch', 'crop', 'rareClasses'];

/**
 * The runs of a sweep, seed by seed and cell by cell, every experiment checked.
 * @throws UsageError for this package's encoder in another network; Error for a setting that does not fit, or a start that
 *   is missing.
 */
export function plan(sweep: Sweep, options: PlanOptions): PlannedRun[] {
  for (const key of Object.keys(options.set)) checkKey(key);
  const runs = options.seeds.flatMap((seed) => runsOfSeed(sweep, seed, options));
  const idle = Object.keys(options.set).find((key) => !runs.some((run) => takes(run, key)));
  if (idle !== undefined) throw new Error(`setting ${idle}: no cell of ${sweep.name} has this part`);
  return runs;
}

function isShared(key: string): boolean {
  return SHARED.includes(key.split('.')[0]!);
}

function takes({ cell, experiment }: PlannedRun, key: string): boolean {
  return cell !== undefined && (cell.method !== 'oracle' || isShared(key)) && hasPlaceFor(experiment, key);
}

function runsOfSeed(sweep: Sweep, seed: number, options: PlanOptions): PlannedRun[] {
  const { out, set, own } = options;
  const presetOf = (steps: number | undefined) =>
    streetSynthPreset({ ...options, steps, seed, classes: own?.classes });
  const preset = presetOf(options.steps);
  const presetFor = (longer: number) =>
    presetOf(Math.round(longer * preset.continuation('self-training').iterations));
  const pretraining = withFittingSettings(preset.pretraining, set, isShared);
  const given = options.start === undefined ? undefined : givenStart(options.start, seed, pretraining);
  const onLabels = { ...encoderOf(options.weights, pretraining), start: undefined, after: undefined };
  const identified = (run: Training): Identified => ({ ...run, key: keyOf(own ?? preset, run) });
  const placed = (name: string, run: Identified): PlannedRun => {
    const folder = folderOf(out, seed, run.key) ?? join(seedFolder(out, seed), `${name}-${run.key}`);
    return { ...run, name, seed, folder };
  };
  const source = given
    ? undefined
    : placed(
        'source',
        identified({ experiment: pretraining, onTarget: false, ...onLabels, cell: undefined }),
      );
  const origin = {
    start: given?.folder ?? source!.folder,
    startKey: given?.sha256 ?? source!.key,
    weights: undefined,
    after: source,
  };
  const runOf = (cell: Cell): Identified => {
    const { method, settings, longer } = cell;
    if (method === 'oracle') {
      const experiment = withFittingSettings(preset.oracle, set, isShared);
      return identified({ experiment, onTarget: true, ...onLabels, cell });
    }
    const { continuation } = longer === undefined ? preset : presetFor(longer);
    const experiment = withSettings(withFittingSettings(continuation(method), set), settings);
    return identified({ experiment, onTarget: false, ...origin, cell });
  };
  // A run that the table of methods has too goes by its name there, whichever sweep comes to it first.
  const methods = new Map<string, string>();
  for (const cell of cellsOn(sweeps.methods, own)) {
    try {
      methods.set(runOf(cell).key, cell.name);
    } catch {
      // Changes that this sweep's cells can have may not fit a cell of that table: it has no run here.
    }
  }
  const cells = cellsOn(sweep, own).map((cell) => {
    const run = runOf(cell);
    return placed(methods.get(run.key) ?? `${sweep.name}-${cell.name}`, run);
  });
  return source ? [source, ...cells] : cells;
}

/** A run before it has a name and a place. */
type Identified = Omit<PlannedRun, 'name' | 'seed' | 'folder'>;
type Training = Omit<Identified, 'key'>;

/** What the encoder of a training on labels starts from. A change of the file is another start. */
function encoderOf(
  given: string | undefined,
  { segmentor }: Experiment,
): Pick<Training, 'weights' | 'startKey'> {
  const weights = encoderStart(given, segmentor.backbone);
  if (weights === undefined) return { weights, startKey: undefined };
  const file = weightsFileOf(weightsPath(weights));
  const hash = createHash('sha256');
  const shards = file.endsWith('.index.json') ? shardsOf(file).map((name) => join(dirname(file), name)) : [];
  for (const one of [file, ...shards]) hash.update(readFileSync(one));
  return { weights, startKey: `encoder ${hash.digest('hex')}` };
}

/** @throws Error if there is no network for the seed, or it is not one that the cells can start from. */
function givenStart(
  root: string,
  seed: number,
  { segmentor }: Experiment,
): { folder: string; sha256: string } {
  const bySeed = join(root, `seed${seed}`, MODEL_FILE);
  const isOne = !existsSync(bySeed) && (!statSync(root).isDirectory() || hasNetwork(root));
  const file = isOne ? locateModel(root) : bySeed;
  if (!existsSync(file)) {
    throw new Error(`${file} is missing: --start needs a source's network for every seed of the sweep`);
  }
  using network = loadSegmentor(file);
  for (const part of ['backbone', 'head', 'channels', 'classes'] as const) {
    if (network.config[part] !== segmentor[part]) {
      throw new Error(
        `${file} has ${part} ${network.config[part]}, the sweep's network ${segmentor[part]}: give another --start, ` +
          `or --set segmentor.${part}=${network.config[part]}`,
      );
    }
  }
  const folder = isOne ? file : dirname(file);
  return { folder, sha256: createHash('sha256').update(readFileSync(file)).digest('hex') };
}

/** Whether a folder is a run or a checkpoint. */
function hasNetwork(folder: string): boolean {
  return ['run.json', MODEL_FILE].some((name) => existsSync(join(folder, name)));
}

/** Twelve hexadecimal digits of SHA-256 over the data, the experiment, and what it starts from. */
function keyOf(
  on: OwnData | StreetSynthPreset,
  { experiment, onTarget, startKey }: Pick<PlannedRun, 'experiment' | 'onTarget' | 'startKey'>,
): string {
  const data = 'digest' in on ? { own: on.digest } : { rendered: STREET_SYNTH_VERSION, data: on.data };
  const dependsOn = { ...data, experiment, onTarget, start: startKey };
  return createHash('sha256')
    .update(JSON.stringify(canonical(dependsOn)))
    .digest('hex')
    .slice(0, 12);
}

/** The same value with the keys of its objects in order. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, canonical(inner)]));
}

/** The run's result where it has ended, with the checkpoint that others need. */
export function finished(run: PlannedRun): RunResult | undefined {
  const result = readResult(run.folder);
  if (result?.key !== run.key) return undefined;
  if (run.cell && !result.scores) return undefined;
  return run.cell || existsSync(join(run.folder, MODEL_FILE)) ? result : undefined;
}
