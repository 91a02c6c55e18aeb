// `pgpc adapt`: the demo's recipe on anybody's two folders, with one table and one report of what came of it.

import type { Size } from '@pgpc/datasets';
import type { Experiment } from '../config/experiment.js';
import { withoutTeacher } from '../config/masked-consistency.js';
import { type MethodName, methodConfig } from '../config/method.js';
import { chosenPrecision } from '../config/precision.js';
import { checkKey, hasPlaceFor, type Settings, withFittingSettings } from '../config/settings.js';
import { UsageError } from '../config/usage-error.js';
import { chosenDevice, describeDevice, versions } from '../machine.js';
import { RANDOM_START } from '../models/weights/shipped.js';
import { type StreetSynthPreset, streetSynthPreset } from '../recipes/street-synth.js';
import type { TrainingChoice } from '../training/choice.js';
import type { OpenedData } from '../training/data.js';
import {
  type DataRecord,
  dataChanges,
  readRecord,
  recordData,
  writeRecord,
} from '../training/data-record.js';
import { type OpenEvent, openTelling } from '../training/open-data.js';
import { jobsOn, type ParallelEvent } from '../training/parallel-runs.js';
import { resolveData } from '../training/resolve.js';
import { gitRevision } from '../training/run-directory/origin.js';
import type { RunDirectory } from '../training/run-directory/run-directory.js';
import { startFromWeights } from '../training/start.js';
import { type Branch, checkpointName, compareInRun } from './comparison.js';
import { forecastSeconds } from './forecast.js';
import { Gallery } from './gallery.js';
import { type Place, type PlaceOptions, takePlace } from './place.js';

export interface AdaptOptions
  extends PlaceOptions,
    Pick<TrainingChoice, 'source' | 'target' | 'classes' | 'multiResolution' | 'maskedConsistency'> {
  /** What the source's network is trained further by, each from the same state; at least one. The first is the run's model. */
  readonly methods: readonly MethodName[];
  /** Steps on the source; left out: the recipe's. */
  readonly sourceSteps?: number | undefined;
  /** Steps of each method; left out: the recipe's. */
  readonly steps?: number | undefined;
  /** Side of the square crops in pixels; left out: the recipe's, twice as large with two resolutions. */
  readonly crop?: number | undefined;
  /** Changes to every training that has the part. */
  readonly set: Settings;
  /** Leave bad files out instead of refusing to start. */
  readonly skipBad: boolean;
  /** 0..2^32 - 1. */
  readonly seed: number;
  /** How many seeds to run, counted up from `seed`; at least 1. */
  readonly seeds: number;
  /** 'auto', 'cpu', 'cuda' or 'cuda:N', whose fast precision is taken where none is given. */
  readonly device: string;
  readonly precision?: Experiment['precision'];
  /** What the source's network starts its encoder from, as `--weights` takes it; left out: this package's encoder. */
  readonly weights?: string | undefined;
  /** The command line that repeats the run. */
  readonly command?: string | undefined;
}

/** What an adaptation tells, from what it read to its report, which is written however it ends. */
export type AdaptEvent =
  | OpenEvent
  /** What the data was read as, what looks wrong with it, and what was chosen because nothing else was; one line each. */
  | { kind: 'remark'; text: string }
  | { kind: 'claimed'; directory: string }
  | { kind: 'description'; text: string }
  /** How long the trainings take, from a few steps of each; `jobs` run at once. */
  | { kind: 'forecast'; seconds: number; jobs: number }
  | ParallelEvent
  | { kind: 'report'; run: RunDirectory; file: string };

interface Surroundings {
  signal: AbortSignal;
  onEvent: (event: AdaptEvent) => void;
}

/** What is trained, on which data. */
interface Adaptation {
  readonly opened: OpenedData;
  readonly config: Awaited<ReturnType<typeof resolveData>>['data'];
  readonly device: string;
  readonly presetOf: (seed: number) => StreetSynthPreset;
}

/** Images are brought within so many crops: a crop shows enough of a scene, and what is small stays visible. */
const CROPS_AN_IMAGE = 2;

/**
 * Trains a network on the source, adapts it by each method, scores them on the target where that has labels, and writes one
 * report.
 * @returns the run directory. @throws BadFilesError, DatasetError for the data; UsageError for what does not go together; the
 *   signal's reason once it is aborted, when what there is has been saved.
 */
export async function adapt(options: AdaptOptions, surroundings: Surroundings): Promise<RunDirectory> {
  const { methods } = options;
  const twice = methods.find((method, i) => methods.indexOf(method) !== i);
  if (twice !== undefined) throw new UsageError(`--methods names ${twice} twice`);
  const { maskedConsistency: masking = 'none' } = options;
  if (masking !== 'none' && !methods.some((method) => methodConfig(method).selfTraining)) {
    throw new UsageError(withoutTeacher(masking, methods));
  }
  const place = takePlace(options, 'adapt');
  surroundings.onEvent({ kind: 'claimed', directory: place.path });
  try {
    return await runIn(place, options, await prepare(options, surroundings), surroundings);
  } finally {
    place.release();
  }
}

/**
 * Opens and checks the data, and tells what it was read as, before anything is trained.
 * @throws as {@link adapt} does.
 */
export async function prepare(options: AdaptOptions, { signal, onEvent }: Surroundings): Promise<Adaptation> {
  const { crop, sourceSteps, steps, skipBad, set, multiResolution, maskedConsistency } = options;
  for (const key of Object.keys(set)) checkKey(key);
  const device = chosenDevice(options.device);
  const { precision } = chosenPrecision(options.precision, device);
  const remark = (text: string) => onEvent({ kind: 'remark', text });
  const recipe = { crop, sourceSteps, steps, precision, multiResolution, maskedConsistency };
  const side = streetSynthPreset({ seed: 0, ...recipe }).pretraining.crop.width * CROPS_AN_IMAGE;
  const within: Size = { width: side, height: side };
  const sized = (domain: TrainingChoice['source']) => {
    const given = typeof domain === 'string' ? { root: domain } : domain;
    return { ...given, scale: given.scale ?? within };
  };
  const { data: config } = await resolveData({
    source: sized(options.source),
    target: sized(options.target),
    classes: options.classes,
  });
  for (const role of ['source', 'target'] as const) {
    const { width, height } = config[role].scale!;
    remark(`${role}: images are brought within ${width}x${height} (--${role}-scale sets another size)`);
  }
  const opened = await openTelling(config, { skipBad, signal }, onEvent);
  for (const text of [
    ...opened.layouts,
    ...opened.notes,
    ...opened.warnings.map((line) => `warning: ${line}`),
  ]) {
    remark(text);
  }
  for (const { message } of opened.faults) remark(`left out: ${message}`);
  if (!opened.validation) remark(`warning: nothing is scored: ${opened.withoutValidation}`);
  const classes = opened.classes.length;
  const presetOf = (seed: number) => streetSynthPreset({ seed, ...recipe, classes });
  refuseIdleSettings(set, branchesOf(presetOf(0), options));
  return { opened, config, device, presetOf };
}

/** @throws UsageError for a setting that no training has a place for. */
function refuseIdleSettings(set: Settings, branches: readonly Branch[]): void {
  for (const key of Object.keys(set)) {
    if (!branches.some(({ experiment }) => hasPlaceFor(experiment, key))) {
      throw new UsageError(`--set ${key}: none of the trainings has this part`);
    }
  }
}

/** The source's training and, from its network, every method's. */
function branchesOf(
  { pretraining, continuation }: StreetSynthPreset,
  { methods, set }: AdaptOptions,
): Branch[] {
  const changed = (experiment: Experiment) => withFittingSettings(experiment, set);
  return [
    { name: SOURCE, label: 'source network', experiment: changed(pretraining), onTarget: false, place: 0 },
    ...methods.map((method, i) => {
      const experiment = changed(continuation(method));
      return {
        name: method,
        label: method,
        experiment,
        onTarget: false,
        after: SOURCE,
        place: i + 1,
      };
    }),
  ];
}

/** @throws Error if what was trained on is not what it was when the run began. */
function refuseOtherData(directory: string, record: DataRecord, opened: OpenedData): void {
  const before = readRecord(directory);
  const { training, evaluation } = before
    ? dataChanges(before, record, opened)
    : { training: ['it kept no record of its data'], evaluation: [] };
  const changes = [...training, ...evaluation];
  if (changes.length === 0) return;
  throw new Error(`${directory} would not resume exactly: ${changes.join('; ')}. Start a new run`);
}

/** The name of the training that all methods start from. */
const SOURCE = 'source';

async function runIn(
  place: Place,
  options: AdaptOptions,
  { opened, config, device, presetOf }: Adaptation,
  surroundings: Surroundings,
): Promise<RunDirectory> {
  const { methods, seed, seeds, skipBad } = options;
  const { onEvent } = surroundings;
  const branches = branchesOf(presetOf(seed), options);
  const [source, first] = branches as [Branch, Branch];
  const weights = startFromWeights(options.weights, source.experiment.segmentor.backbone)?.weights;
  const description =
    `From ${weights === undefined ? 'random weights' : `the encoder ${weights}`}, a network is trained on the labelled source ` +
    `for ${source.experiment.iterations} steps, then for ${first.experiment.iterations} more by ` +
    `${methods.join(', ')}${methods.length > 1 ? ', each time from the same state' : ''}.`;
  onEvent({ kind: 'description', text: description });
  const jobs = jobsOn(device);
  onEvent({ kind: 'forecast', seconds: seeds * forecastSeconds(branches, jobs, device), jobs });
  const record = await recordData(opened, surroundings.signal);
  if (options.resume !== undefined) refuseOtherData(options.resume, record, opened);
  const run = place.begin({
    config: {
      // The model that is taken where the run is named and no method.
      phase: checkpointName(methods[0]!, options),
      data: config,
      weights: weights ?? RANDOM_START,
      experiments: Object.fromEntries(branches.map(({ name, experiment }) => [name, experiment])),
    },
    seed,
    classes: opened.classes,
    versions: versions(),
    device: describeDevice(device),
    gitRevision: gitRevision(),
    title: `${config.source.root} to ${config.target.root}`,
    description,
    command: options.command,
  });
  writeRecord(run.path, record);
  const { validation } = opened;
  const gallery = new Gallery(run, {
    source: opened.source.dataset,
    target: validation ?? opened.target!.dataset,
    labelled: validation !== undefined,
  });
  return compareInRun(
    (seedOfRun) => branchesOf(presetOf(seedOfRun), options),
    options,
    { run, data: { config, skipBad }, gallery, device, weights },
    surroundings,
  );
}
