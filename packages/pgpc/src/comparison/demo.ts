// The demo: renders two domains, trains on one, adapts to the other in several ways, and shows what came of it.

import { openCityscapes, openGta5 } from '@pgpc/datasets';
import type { MethodName } from '../config/method.js';
import { chosenDevice, describeDevice, versions } from '../machine.js';
import { RANDOM_START, shippedEncoder } from '../models/weights/shipped.js';
import { type StreetSynthPreset, streetSynthPreset } from '../recipes/street-synth.js';
import { jobsOn, type ParallelEvent } from '../training/parallel-runs.js';
import { presetDataFolder, type RenderEvent, renderStreetSynth } from '../training/rendered-streets.js';
import { gitRevision } from '../training/run-directory/origin.js';
import type { RunDirectory } from '../training/run-directory/run-directory.js';
import { startFromWeights } from '../training/start.js';
import { type Branch, checkpointName, compareInRun } from './comparison.js';
import { forecastSeconds } from './forecast.js';
import { Gallery } from './gallery.js';
import { type Place, type PlaceOptions, takePlace } from './place.js';

export interface DemoOptions extends PlaceOptions {
  /** A shorter run: fewer images and iterations, the same steps. */
  readonly quick: boolean;
  /** Steps on the source, from which all methods start; undefined: the preset's. */
  readonly sourceSteps: number | undefined;
  /** Steps of each method; undefined: the preset's. */
  readonly steps: number | undefined;
  /** 0..2^32 - 1. */
  readonly seed: number;
  /** How many seeds to run, counted up from `seed`; at least 1. */
  readonly seeds: number;
  /** 'auto', 'cpu', 'cuda' or 'cuda:N'. */
  readonly device: string;
  /** What source network and oracle start their encoder from, as `--weights` takes it; undefined: this package's encoder. */
  readonly weights: string | undefined;
  /** The command line that repeats the run. */
  readonly command?: string | undefined;
}

/** What the demo tells, from what it is going to do to its report, which is written however it ends. */
export type DemoEvent =
  /** The folder that the run has taken, before anything is rendered. */
  | { kind: 'claimed'; directory: string }
  | { kind: 'description'; text: string }
  /** How long the trainings of all seeds will take, from a few steps of each; `jobs` run at once. */
  | { kind: 'forecast'; seconds: number; jobs: number }
  | RenderEvent
  | ParallelEvent
  | { kind: 'report'; run: RunDirectory; file: string };

interface Surroundings {
  signal: AbortSignal;
  onEvent: (event: DemoEvent) => void;
}

/** Whose network is the run's. */
const MODEL: MethodName = 'pgpc-plus';

/**
 * The source network is trained further in several ways, for the same number of steps from the same state; the oracle
 * is trained on the target's labels, which the others never see, for as many steps as theirs together.
 */
function branchesOf(preset: StreetSynthPreset): Branch[] {
  const { pretraining, continuation, oracle } = preset;
  const from = (name: MethodName, label: string, place: number): Branch => ({
    name,
    label,
    place,
    experiment: continuation(name),
    onTarget: false,
    after: 'source',
  });
  // The longest first, so that the lanes end at about the same time.
  return [
    { name: 'source', label: 'source', experiment: pretraining, onTarget: false },
    { name: 'oracle', label: 'oracle (target labels)', experiment: oracle, onTarget: true, place: 4 },
    from('pgpc', 'PGPC', 2),
    from('pgpc-plus', 'PGPC+', 3),
    from('self-training', 'self-training', 1),
    from('source-only', 'source only', 0),
  ];
}

/**
 * Renders the data where it is not there yet, trains every method, evaluates them and writes the report.
 * @returns the run directory. @throws the signal's reason once it is aborted; what there is by then is saved.
 */
export async function runDemo(options: DemoOptions, surroundings: Surroundings): Promise<RunDirectory> {
  const { quick } = options;
  const { onEvent } = surroundings;
  const place = takePlace(options, quick ? 'demo-quick' : 'demo');
  onEvent({ kind: 'claimed', directory: place.path });
  try {
    return await runIn(place, options, surroundings);
  } finally {
    place.release();
  }
}

function startInWords(weights: string | undefined): string {
  if (weights === undefined) return 'random weights';
  if (weights !== shippedEncoder.name) return `the encoder weights ${weights}`;
  return `${shippedEncoder.description}, which are of neither domain here`;
}

async function runIn(place: Place, options: DemoOptions, surroundings: Surroundings): Promise<RunDirectory> {
  const { quick, sourceSteps, steps, seed, seeds } = options;
  const { onEvent } = surroundings;
  const device = chosenDevice(options.device);
  const scale = quick ? 'quick' : 'demo';
  const preset = streetSynthPreset({ scale, seed, sourceSteps, steps });
  const weights = startFromWeights(options.weights, preset.pretraining.segmentor.backbone)?.weights;
  const description =
    `From ${startInWords(weights)}, a network is trained on the labelled source for ${preset.pretraining.iterations} steps, ` +
    `then for ${preset.continuation('pgpc').iterations} more, each time from the same state: on the ` +
    'source only, by self-training on the unlabelled target, by PGPC as the paper has it, and by PGPC+, ' +
    'whose contrast is our own (docs/results.md says what it gains). The oracle, from the same start as the ' +
    `source network, is trained on the target with its labels, for all ${preset.oracle.iterations} steps.`;
  onEvent({ kind: 'description', text: description });
  const jobs = jobsOn(device);
  const ofOne = forecastSeconds(branchesOf(preset), jobs, device);
  onEvent({ kind: 'forecast', seconds: seeds * ofOne, jobs });
  const roots = await renderStreetSynth(presetDataFolder(scale), preset.data, surroundings);
  const [source, validation] = await Promise.all([
    openGta5(roots.source),
    openCityscapes(roots.target, 'val'),
  ]);
  const run = place.begin({
    config: {
      preset: 'street-synth',
      quick,
      // The model that is taken where the run is named and no method.
      phase: checkpointName(MODEL, options),
      ...preset.data,
      weights: weights ?? RANDOM_START,
      pretraining: preset.pretraining,
      pgpc: preset.continuation('pgpc'),
    },
    seed,
    versions: versions(),
    device: describeDevice(device),
    gitRevision: gitRevision(),
    title: 'street-synth: from a rendered source to an unlabelled target',
    description,
    command: options.command,
  });
  const gallery = new Gallery(run, { source, target: validation, labelled: true });
  return compareInRun(
    (seedOfRun) => branchesOf(streetSynthPreset({ scale, seed: seedOfRun, sourceSteps, steps })),
    options,
    { run, data: { source: roots.source, target: roots.target }, gallery, device, weights },
    surroundings,
  );
}
